"""Requests go to the champion that has their channels; what is ambiguous is refused, and the montages that there are are named."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from p300.errors import RequestError
from p300.montages import fit, name_of
from p300_pipeline.errors import HttpError
from p300_pipeline.montage_groups import MONTAGES_KEY, alias_of
from p300_pipeline.registry import Registry
from p300_pipeline.serving import Service
from p300_pipeline.serving.requests import interpolation_notes
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS
from tests.support.training import finish, later, train

THREE, FOUR, OTHER_THREE = ("Fz", "Cz", "Pz"), ("P3", "P4", "PO7", "PO8"), ("C3", "C4", "Oz")
N_TIMES = 10
LAYOUT = {"type": "grid", "rows": ["ABCDEF", "GHIJKL", "MNOPQR", "STUVWX", "YZ1234", "56789_"]}


@pytest.fixture
def champions(store: Store, put_features: Callable[..., Any]) -> dict[str, str]:
    """Versions by alias: the default of three channels, and one of four."""
    for number, channels in enumerate((THREE, THREE, THREE, FOUR, FOUR)):
        put_features(f"subject_{number + 1:02d}/run", channels=channels)
    first = finish(store, train(store, recording="subject_01/run"))["version"]
    second = finish(store, train(store, "b", later(60), recording="subject_04/run"))["version"]
    return {"champion": first, alias_of(name_of(FOUR)): second}


@pytest.fixture
def ask(champions: dict[str, str], store: Store) -> Callable[..., dict[str, Any]]:
    service = Service(store, MODELS)

    def ask(
        n_channels: int, channels: Sequence[str] | None = None, alias: str | None = None, form: str = "epochs"
    ) -> Any:
        X = np.random.default_rng(n_channels).normal(0, 1e-5, (12, n_channels * N_TIMES)).astype("<f4")
        packed = base64.b64encode(X.tobytes()).decode()
        body: dict[str, Any] = {
            "features": {"features": X[0].astype(float).tolist()},
            "epochs": {"epochs": X.astype(float).tolist()},
            "epochs_b64": {"epochs_b64": packed, "n_epochs": len(X)},
            "groups": {"layout": LAYOUT, "groups": list(range(1, 13)), "epochs_b64": packed},
        }[form]
        body |= {"channels": list(channels)} if channels is not None else {}
        return (service.decode if form == "groups" else service.predict)(json.dumps(body), alias)

    return ask


FORMS = pytest.mark.parametrize("form", ["features", "epochs", "epochs_b64", "groups"])


@FORMS
def test_channels_choose_the_champion(ask: Any, champions: dict[str, str], form: str) -> None:
    other = alias_of(name_of(FOUR))
    assert ask(3, THREE, form=form)["model_version"] == champions["champion"]
    assert "alias" not in ask(3, THREE, form=form)
    answer = ask(4, FOUR[::-1], form=form)
    assert (answer["model_version"], answer["alias"]) == (champions[other], other)
    assert ask(6, (*FOUR, "EOG", "Oz"), form=form)["alias"] == other
    assert ask(4, FOUR, alias=other, form=form)["model_version"] == champions[other]


@pytest.mark.usefixtures("champions")
def test_an_alias_that_was_never_set_is_unknown_and_leaves_nothing_behind(ask: Any, store: Store) -> None:
    service = Service(store, MODELS)
    with pytest.raises(HttpError, match="no such champion") as refused:
        service.cache.model("champion_72ch-1b7727ed")
    assert (refused.value.code, refused.value.status) == ("unknown_alias", 404)
    assert service.cache.problems == {}
    with pytest.raises(HttpError, match="no such champion"):
        ask(4, FOUR, alias="champion_72ch-1b7727ed")


@FORMS
def test_without_channels_only_the_width_of_the_default_is_taken(
    ask: Any, champions: dict[str, str], form: str
) -> None:
    assert ask(3, form=form)["model_version"] == champions["champion"]
    for n_channels in (4, 5):
        with pytest.raises(
            RequestError, match=r"champion with 3 channels .*champion_4ch-\w+ with 4 channels"
        ) as refused:
            ask(n_channels, form=form)
        assert refused.value.code == "no_channels"


@FORMS
def test_a_width_that_two_models_take_needs_channels(
    ask: Any, store: Store, put_features: Callable[..., Any], form: str
) -> None:
    put_features("subject_07/run", channels=OTHER_THREE)
    finish(store, train(store, "c", later(120), recording="subject_07/run"))
    with pytest.raises(RequestError, match=r"Name the channels") as refused:
        ask(3, form=form)
    assert refused.value.code == "ambiguous_montage"
    assert ask(3, alias="champion", form=form)["model_version"]


def test_channels_that_several_models_can_use_are_ambiguous(ask: Any) -> None:
    with pytest.raises(RequestError, match=r"several models can use: champion .*champion_4ch") as refused:
        ask(7, (*THREE, *FOUR))
    assert refused.value.code == "ambiguous_montage"


def test_channels_that_no_model_takes_are_refused_with_the_montages_there_are(ask: Any) -> None:
    with pytest.raises(RequestError, match=r"champion with 3 channels .*champion_4ch-.*`p300 train --channels C3,C4`"):
        ask(2, ("C3", "C4"))


def test_a_quarter_is_interpolated_and_the_answer_says_so(ask: Any) -> None:
    answer = ask(3, FOUR[:3])
    assert answer["alias"] == alias_of(name_of(FOUR))
    assert "channels interpolated from the others, as the request lacks them: PO8" in answer["notes"]
    assert any("is not known: no recording that lacked some was left out" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("auc", "note"),
    [
        (0.488, "AUC 0.488 on 1 left-out recording that lacked channels too: no better than guesses"),
        (0.8, "AUC 0.800 on 1 left-out recording that lacked channels too"),
    ],
)
def test_interpolation_at_chance_on_left_out_recordings_is_told(auc: float, note: str) -> None:
    manifest = {
        "recordings": [{"recording": "a/b", "missing_channels": ["PO8"]}, {"recording": "c/d"}],
        "metrics": {"left_out_recordings": {"a/b": auc, "c/d": 0.9}},
    }
    assert note in interpolation_notes(fit(FOUR[:3], FOUR), manifest)


def test_the_list_of_models_names_the_montages(store: Store, champions: dict[str, str]) -> None:
    answer = Service(store, MODELS).models()
    assert answer["montages"] == {"champion": list(THREE), alias_of(name_of(FOUR)): list(FOUR)}
    assert answer["aliases"].items() >= champions.items()


def test_a_damaged_list_of_montages_stops_no_request_of_the_default(store: Store, champions: dict[str, str]) -> None:
    store.put(MODELS, MONTAGES_KEY, b"{")
    service = Service(store, MODELS)
    row = np.full(3 * N_TIMES, 1e-6).tolist()
    assert service.predict(json.dumps({"features": row}))["model_version"] == champions["champion"]
    assert any("montages.json" in problem for problem in Registry(store, MODELS).problems())
