"""`p300 simulate` and `p300 decode` against the code that serves, on synthetic people: what is counted, refused and drawn."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from p300.decoding import Response
from p300.errors import P300Error, RequestError
from p300.models import RecordingEpochs, make
from p300.readers import read_recording
from p300.signals import Parameters, extract
from p300.synth import write_subjects
from p300_cli import decoded, simulated
from p300_client import api as predicting
from p300_client import decoding, simulating
from p300_client.api import Answer
from p300_client.decoding import Requests
from p300_client.sessions import of_file, of_target, read, screen
from p300_pipeline.errors import status_of
from p300_pipeline.keys import RecordingKey
from p300_pipeline.registry import Registry
from p300_pipeline.serving import Service

VERSION = "v20260102030405"
SPELLER = screen("speller")
PARAMETERS = Parameters(sfreq=50.0)  # half the work


class Target:
    """What the command needs of a target, on buckets in memory."""

    def __init__(self, store):
        self._store = store
        self.outputs = {"RawBucketName": "p300-raw-data", "ModelsBucketName": "p300-models"}

    def client(self, _):
        return self._store.client


class Api(predicting.Api):
    """The service without the wire; the first answers may be that it is busy."""

    def __init__(self, store, busy=0):
        self._service, self.busy = Service(store, "p300-models"), busy

    def ask(self, method, path, body=None):
        if self.busy:
            self.busy -= 1
            return Answer(429, {"message": "Too Many Requests"})
        route, _, query = path.partition("?")
        which, _, name = query.partition("=")
        try:
            return Answer(200, getattr(self._service, route[1:])(json.dumps(body), **{which: name}))
        except RequestError as error:
            return Answer(status_of(error), {"error": {"code": error.code, "message": error.message}})


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Files of three synthetic people, and the arrays and manifest of a model of the first two."""
    files = write_subjects(tmp_path_factory.mktemp("people"), (1, 2, 3), seed=5, n_repetitions=24)
    recordings = []
    for path in files[:2]:
        features = extract(read_recording(path), PARAMETERS)
        recordings.append(
            RecordingEpochs(path.stem, path.parent.name, features.X, features.label, len(features.ch_names))
        )
    model = make("lda", n_channels=16, n_times=35).fit_recordings(recordings)
    manifest = {
        "kind": "lda",
        "channels": list(features.ch_names),
        "sfreq": 50.0,
        "n_times": 35,
        "tmin": -0.1,
        "tmax": 0.6,
        "subjects": ["subject_01", "subject_02"],
        "held_out": ["subject_03"],
        "recordings": [],
        "n_epochs": 2,
        "metrics": {},
        "created": "",
        "execution": "",
        "preprocessing": PARAMETERS.to_dict(),
    }
    return files, {**model.to_arrays(), **Response.fit(recordings, 50.0).to_arrays()}, manifest


@pytest.fixture
def target(store, people):
    files, arrays, manifest = people
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    registry = Registry(store, "p300-models")
    registry.publish(VERSION, "fingerprint", {"model.npz": (buffer.getvalue(), "application/octet-stream")}, manifest)
    registry.set_alias("champion", VERSION)
    for path in files:
        store.put("p300-raw-data", f"{path.parent.name}/{path.name}", path.read_bytes())
    return Target(store)


def replay(target, store, **how):
    manifest = simulating.manifest_of(target, "champion")
    found = simulating.sessions(target, ["subject_03"], manifest, SPELLER, notify=how.pop("notify", print))
    requests = Requests(Api(store, busy=how.pop("busy", 0)), manifest["version"])
    replayed = simulating.simulate(requests, found, SPELLER, **{"rate": 0.0, "confidence": 0.9, **how})
    facts = {"rate": 0.0, "confidence": 0.9, "layout": {}, "seen_in_training": []}
    return simulating.report(replayed, requests, SPELLER, facts), replayed


def test_a_session_is_replayed(target, store, tmp_path, capsys, monkeypatch):
    document, replayed = replay(target, store)
    subject = document["subjects"]["subject_03"]
    assert subject["n_epochs"] == 24 * 12
    assert subject["roc_auc"] > 0.55  # two people teach little
    assert subject["n_symbols"] == 4
    by_n = subject["accuracy_by_repetitions"]
    assert [row["symbols"] for row in by_n] == [4] * 6
    assert by_n[-1]["accuracy"] >= 0.75 > by_n[0]["accuracy"]
    decisions = document["sessions"][0]["symbols"]
    assert all(one["confidence"] >= 0.9 for one in decisions if one["stopped"])
    assert 1 < subject["mean_repetitions"] <= 6
    # A repetition of 12 flashes, 0.15 to 0.25 s apart, and the pause of 1 s after each.
    per_repetition = subject["seconds_a_symbol"] / subject["mean_repetitions"]
    assert per_repetition == pytest.approx(12 * 0.2 + 1.0, rel=0.05)
    assert document["latency"]["/predict"]["requests"] == 24 * 12
    assert simulated.draw(document, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    simulated.show(document, tmp_path / "plot.png", as_json=False)
    alone = capsys.readouterr().out
    assert all(name in alone for name in ("Acc", "Kap", "AUC", "bits / min", "p95", "subject_03"))
    assert "pooled" not in alone
    two = {**document, "subjects": {**document["subjects"], "subject_04": subject}}
    assert simulated.draw(two, tmp_path / "two.png")
    simulated.show(two, None, as_json=False)
    both = capsys.readouterr().out
    assert all(name in both for name in ("subject_04", "pooled", "mean"))
    simulated.show(document, None, as_json=True)
    assert json.loads(capsys.readouterr().out)["pooled"]["n_symbols"] == 4
    monkeypatch.setenv("WANDB_MODE", "offline")
    simulated.log(target, document, replayed)
    runs = [item.key for item in store.list("p300-models", "wandb/")]
    assert any(f"{VERSION}-simulation-" in key and key.endswith(".wandb") for key in runs)


def test_tracking_that_fails_fails_nothing(target, store, monkeypatch, capsys):
    document, replayed = replay(target, store, confidence=0.5)
    monkeypatch.setattr("p300_pipeline.steps.tracking.keep", lambda *_: 1 / 0)
    monkeypatch.setenv("WANDB_MODE", "offline")
    simulated.log(target, document, replayed)
    assert "not logged to Weights & Biases: ZeroDivisionError" in capsys.readouterr().err


def test_at_its_own_pace_an_epoch_is_sent_when_it_is_complete(target, store, monkeypatch, capsys):
    session = simulating.sessions(
        target, ["subject_03"], simulating.manifest_of(target, "champion"), SPELLER, seen=False
    )[0]
    few = replace(session, X=session.X[:12], label=session.label[:12], onset_s=session.onset_s[:12], trials=[])
    now = [100.0]
    monkeypatch.setattr("p300_client.simulating.time.monotonic", lambda: now[0])
    monkeypatch.setattr("p300_client.simulating.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    notes = []
    simulating.simulate(Requests(Api(store), VERSION, notify=notes.append), [few], SPELLER, rate=2.0, confidence=0.9)
    assert now[0] - 100.0 == pytest.approx((few.onset_s[-1] - few.onset_s[0] + 0.6) / 2)
    assert notes == []

    class Slow(Api):
        def ask(self, *request):
            now[0] += 1.0
            return super().ask(*request)

    simulating.simulate(Requests(Slow(store), VERSION, notify=notes.append), [few], SPELLER, rate=2.0, confidence=0.9)
    # The last of twelve is sent after eleven answers of a second each, and the first epoch.
    late_s = 11 + 0.3 - (few.onset_s[-1] - few.onset_s[0] + 0.6) / 2
    assert f"up to {late_s:.1f} s after" in " ".join(notes)


def test_a_busy_api_is_asked_again(target, store, monkeypatch):
    monkeypatch.setattr("p300_client.decoding.time.sleep", lambda _: None)
    requests = Requests(Api(store, busy=3), VERSION)
    X = np.zeros(16 * 35).tolist()
    assert requests.post("/predict", {"features": X})["model_version"] == VERSION
    assert len(requests.milliseconds["/predict"]) == 1


def test_people_of_the_training_are_refused_unless_asked_for(target, capsys):
    manifest = simulating.manifest_of(target, "champion")
    with pytest.raises(P300Error) as refused:
        simulating.sessions(target, ["subject_03", "subject_02"], manifest, SPELLER, seen=False)
    message = refused.value.message
    assert "trained on subject_02" in message
    assert "--seen" in message
    assert [one.subject for one in simulating.sessions(target, ["subject_02"], manifest, SPELLER, seen=True)] == [
        "subject_02"
    ]
    with pytest.raises(P300Error) as refused:
        simulating.sessions(target, ["subject_77"], manifest, SPELLER, seen=False)
    assert "no recordings of subject_77" in refused.value.message


def test_recordings_without_flash_codes_give_labels_only(target, store, people, monkeypatch, capsys):
    def without_codes(path, name=None, declared=None):
        return replace(read_recording(path, name=name, declared=declared), flash=None)

    monkeypatch.setattr("p300_client.sessions.read_recording", without_codes)
    notes = []
    document, _ = replay(target, store, notify=notes.append)
    assert document["pooled"]["n_epochs"] == 24 * 12
    assert document["pooled"]["n_symbols"] is None
    assert "labels only, no symbols" in " ".join(notes)
    assert not simulated.draw(document, Path("unused.png"))
    simulated.show(document, None, as_json=False)
    session = of_file(people[0][2], "a.parquet", simulating.manifest_of(target, "champion"), SPELLER)
    with pytest.raises(P300Error, match="no flash codes: no symbol"):
        decoding.decode(Requests(Api(store), VERSION), session, SPELLER, 0.9)


def test_one_recording_is_decoded(target, store, people, tmp_path, capsys):
    manifest = simulating.manifest_of(target, "champion")
    by_key = read(target, "subject_03/subject_03_eeg_stim", manifest, SPELLER)
    session = read(target, str(people[0][2]), manifest, SPELLER)
    np.testing.assert_array_equal(by_key.X, session.X)
    document = decoding.decode(Requests(Api(store), VERSION), session, SPELLER, 0.9)
    assert document["adapted"]
    assert [trial["repetitions"] for trial in document["trials"]] == [6] * 4
    assert sum(trial["symbol"] == trial["attended"] for trial in document["trials"]) >= 3
    assert document["trials"][-1]["revised"]["symbol"] == document["trials"][-1]["symbol"]
    decoded.show(document, 0.9, tmp_path / "plot.png", as_json=False)
    assert "looked at" in (printed := capsys.readouterr().out)
    assert f"spelled {''.join(trial['symbol'] for trial in document['trials'])}; stopping at 0.9" in printed
    assert str(tmp_path / "plot.png") in printed


def test_a_personal_model_decodes_by_its_subject(target, store, people, monkeypatch):
    monkeypatch.setattr(simulating, "Api", lambda target: Api(store))
    manifest = simulating.manifest_of(target, "champion")
    notes = []
    assert simulating.requests_about(target, manifest, "7", notes.append)[0] == manifest
    assert "no personal model of subject_07" in notes[0]
    own = "subject_03/v20260101000009"
    buffer = io.BytesIO()
    np.savez(buffer, **people[1])
    personal = {**people[2], "recordings": [{"recording": "subject_03/run_1"}], "population": {"version": VERSION}}
    registry = Registry(store, "p300-models")
    registry.publish(own, "own", {"model.npz": (buffer.getvalue(), "application/octet-stream")}, personal)
    registry.set_alias("subject_03", own)
    found, requests = simulating.requests_about(target, manifest, "sub-3", notes.append)
    session = read(target, "subject_03/subject_03_eeg_stim", found, SPELLER)
    document = decoding.decode(requests, session, SPELLER, 0.9)
    assert (document["model_version"], len(document["trials"])) == (own, 4)
    assert simulating.learned_from(found, "subject_03/run_1")
    assert not simulating.learned_from(found, session.name)
    requests.version = "subject_03/v20260101000008"  # another one serves since it was looked up
    with pytest.raises(P300Error, match="another model began to serve"):
        decoding.decode(requests, session, SPELLER, 0.9)


def test_what_flashed_is_what_the_sidecar_says(target, people, tmp_path):
    manifest = simulating.manifest_of(target, "champion")
    path = tmp_path / "a.parquet"
    path.write_bytes(people[0][2].read_bytes())
    usual = of_file(path, "a.parquet", manifest).shown
    assert (usual, usual.source.partition(",")[0]) == (SPELLER, "the default")
    path.with_name("a.p300.json").write_text('{"layout": {"type": "brain_invaders"}}')
    session = of_file(path, "a.parquet", manifest, None)
    assert session.shown == screen("brain_invaders")
    with pytest.raises(P300Error, match="is not the one in its sidecar") as refused:
        of_file(path, "a.parquet", manifest, SPELLER)
    assert refused.value.code == "other_layout"


def test_what_cannot_be_decoded_is_told(target, people, tmp_path, capsys):
    manifest = simulating.manifest_of(target, "champion")
    for name, how, told in [
        ("subject_03/nothing", manifest, "neither a file nor a recording"),
        (str(people[0][2]), {**manifest, "channels": ["ear"]}, "expected ear, in any order"),
    ]:
        with pytest.raises(P300Error) as refused:
            read(target, name, how, SPELLER)
        assert told in refused.value.message
    (tmp_path / "layout.json").write_text('{"type": "grid", "rows": ["AB", "CD"]}')
    with pytest.raises(P300Error) as refused:
        read(target, str(people[0][2]), manifest, screen(str(tmp_path / "layout.json")))
    assert "--layout" in refused.value.message
    (tmp_path / "ragged.json").write_text('{"type": "grid", "rows": ["AB", "C"]}')
    for name, told in [
        ("nonsense", "or a JSON file"),
        (str(tmp_path / "none.json"), "or a JSON file"),
        (
            str(tmp_path / "ragged.json"),
            "ragged.json: The grid's rows have [1, 2] symbols; expected equally many in each.",
        ),
    ]:
        with pytest.raises(P300Error) as refused:
            screen(name)
        printed = refused.value.message
        assert told in printed
        assert ("or a JSON file" in printed) == (told == "or a JSON file")


def test_a_long_session_is_cut_to_what_a_request_takes(target, store, monkeypatch):
    session = of_target(
        target,
        RecordingKey.parse("subject_03/subject_03_eeg_stim.parquet"),
        simulating.manifest_of(target, "champion"),
        SPELLER,
    )
    requests = Requests(Api(store), VERSION)
    flashes = [trial.flashes for trial in session.trials]
    assert len(decoding.ask(requests, session, SPELLER, flashes)["trials"]) == 3
    monkeypatch.setattr(decoding, "MAX_BYTES", 150 * session.X[0].nbytes)
    answer = decoding.ask(requests, session, SPELLER, flashes)
    assert len(answer["trials"]) == 1
