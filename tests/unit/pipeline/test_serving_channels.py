"""``channels`` of /predict and /decode: the model's channels in any order or among others give the same answer, others are refused."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.errors import RequestError
from p300_pipeline.serving.predictions import predict
from p300_pipeline.serving.requests import parse_json
from p300_pipeline.serving.symbols import decode

from tests.support.raw_epochs import MODEL

NAMES = MODEL.manifest["channels"]
EPOCHS = np.random.default_rng(1).normal(0, 1e-5, (12, len(NAMES), MODEL.manifest["n_times"])).astype(np.float32)
GROUPS = [1 + flash % 12 for flash in range(12)]


def packed(epochs: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(epochs, "<f4").tobytes()).decode()


def bodies(epochs: Any) -> dict[str, dict[str, Any]]:
    """Return every form of features in a request."""
    rows = epochs.reshape(len(epochs), -1).astype(float).tolist()
    layout = {"type": "grid", "rows": ["ABCDEF", "GHIJKL", "MNOPQR", "STUVWX", "YZ1234", "56789_"]}
    flashes = [{"group": group, "features": row} for group, row in zip(GROUPS, rows, strict=True)]
    return {
        "features": {"features": rows[0]},
        "epochs": {"epochs": rows},
        "epochs_b64": {"epochs_b64": packed(epochs), "n_epochs": len(epochs)},
        "flashes": {"layout": layout, "flashes": flashes},
        "groups": {"layout": layout, "groups": GROUPS, "epochs_b64": packed(epochs)},
    }


def ask(body: dict[str, Any]) -> dict[str, Any]:
    return (decode if "layout" in body else predict)(parse_json(json.dumps(body)), MODEL)


@given(st.permutations(range(len(NAMES))), st.sampled_from(sorted(bodies(EPOCHS))))
@settings(deadline=None, max_examples=30)
def test_channels_in_any_order(order: list[int], form: str) -> None:
    channels = [NAMES[i].upper() for i in order]
    assert ask(bodies(EPOCHS[:, order])[form] | {"channels": channels}) == ask(bodies(EPOCHS)[form])


@pytest.mark.parametrize("form", sorted(bodies(EPOCHS)))
def test_channels_among_others(form: str) -> None:
    others = np.full((len(EPOCHS), 2, EPOCHS.shape[2]), 1e-5, np.float32)
    more = np.concatenate([others[:, :1], EPOCHS[:, ::-1], others[:, 1:]], axis=1)
    channels = ["EOG", *NAMES[::-1], "ear"]
    assert ask(bodies(more)[form] | {"channels": channels}) == ask(bodies(EPOCHS)[form])


@pytest.mark.parametrize("form", sorted(bodies(EPOCHS)))
@pytest.mark.parametrize("channels", [NAMES[:-1], [*NAMES[:-1], "Oz"], [*NAMES[:-1], NAMES[0]]])
def test_another_set_is_refused(form: str, channels: list[str]) -> None:
    with pytest.raises(RequestError, match=MODEL.version) as raised:
        ask(bodies(EPOCHS)[form] | {"channels": channels})
    assert raised.value.code == "wrong_channels"


@pytest.mark.parametrize("channels", ["Fz", [1, 2, 3], {}])
def test_what_is_no_list_of_names_is_refused(channels: Any) -> None:
    with pytest.raises(RequestError, match="expected the names") as raised:
        ask(bodies(EPOCHS)["features"] | {"channels": channels})
    assert raised.value.code == "bad_channels"
