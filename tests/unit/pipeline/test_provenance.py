"""The digest of code follows what runs and nothing else; what other code made is outdated, left out by name, and made again by its own."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import p300
import p300_pipeline
import pytest
from p300.errors import ArtifactError, TrainingError
from p300.features import read_features
from p300.signals import Parameters
from p300_pipeline import provenance
from p300_pipeline.contracts import SpreadResult, TrainResult
from p300_pipeline.making.model import npz
from p300_pipeline.provenance import FEATURES as FEATURES_CODE
from p300_pipeline.provenance import MODEL, code_of
from p300_pipeline.registry import Registry
from p300_pipeline.reproduction import reproduce
from p300_pipeline.steps import training
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.steps.training import TrainingRequest
from p300_pipeline.storage import Store, sha256_hex

from tests.support.buckets import FEATURES, MODELS, RAW
from tests.support.training import STARTED, train

KEY = "subject_{:02d}/run.parquet"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Both packages as another checkout has them."""
    for package in (p300, p300_pipeline):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def digests(folder: Path) -> dict[str, str]:
    command = [sys.executable, "-S", "-m", "p300_pipeline.provenance"]
    done = subprocess.run(command, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


def change(folder: Path, module: str, old: str, new: str) -> None:
    path = folder / module
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def here() -> dict[str, str]:
    return {"features": code_of(FEATURES_CODE).digest, "model": code_of(MODEL).digest}


# ---- the digest
def test_another_place_of_the_same_code_has_the_same_digests(copy: Path) -> None:
    assert digests(copy) == here()


def test_a_changed_filter_changes_both_and_a_changed_model_only_its_own(copy: Path) -> None:
    change(copy, "p300/models/calibration.py", "0.5 * log_odds", "0.25 * log_odds")
    assert digests(copy)["features"] == here()["features"]
    assert digests(copy)["model"] != here()["model"]
    change(copy, "p300/signals/fir.py", "\nimport numpy as np\n", "\nimport numpy as np\n\nCHANGED = 1\n")
    assert digests(copy)["features"] != here()["features"]


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("p300_pipeline/storage/store.py", "_MAX_READS = 5", "_MAX_READS = 6"),
        ("p300_pipeline/keys.py", "_ID_LENGTH = 32", "_ID_LENGTH = 33"),
        ("p300/reporting/page.py", "UNITS = {", "UNITS = {  # noqa\n    'x': ' y',"),
        ("p300/synth.py", "import", "import sys\nimport"),
        ("p300/__init__.py", p300.__version__, "9.9.9"),
        ("p300/signals/fir.py", '"""', '"""Another docstring. '),
        ("p300/signals/fir.py", "\nimport numpy as np\n", "\n\n# A comment.\nimport numpy as np\n"),
    ],
)
def test_what_makes_no_other_features_or_models_changes_no_digest(copy: Path, module: str, old: str, new: str) -> None:
    change(copy, module, old, new)
    assert digests(copy) == here()


def test_every_module_that_runs_is_in_the_digest(tmp_path: Path, recording_bytes: Callable[..., bytes]) -> None:
    """What is imported while features and a model are made, however it is imported, is what imports were followed to."""
    (tmp_path / "run.parquet").write_bytes(recording_bytes())
    script = f"""
import json, sys
from pathlib import Path
folder = Path({str(tmp_path)!r})
from p300_pipeline.making.features import make_features
from p300_pipeline.keys import RecordingKey
loaded = lambda: {{name for name in sys.modules if name.partition(".")[0] in ("p300", "p300_pipeline")}}
from p300.signals import Parameters
make_features(RecordingKey("subject_01", "run", "parquet"), folder / "run.parquet", Parameters(), {{}}, folder / "f.parquet")
features = loaded() - {{"p300_pipeline.keys", "p300.formats"}}
from p300_pipeline.making.model import Downloaded, make_model
from p300.features import read_features
channels = read_features(folder / "f.parquet").ch_names
make_model(Downloaded({{"a/b": folder / "f.parquet"}}, lambda name: "a", channels), "ensemble", 0)
print(json.dumps([sorted(features), sorted(loaded() - features - {{"p300_pipeline.keys", "p300.formats"}})]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    features, model = json.loads(done.stdout.splitlines()[-1])
    assert set(features) <= set(code_of(FEATURES_CODE).modules)
    assert set(model) <= set(code_of(MODEL).modules)


def test_libraries_that_compute_are_named_with_their_versions() -> None:
    assert set(code_of(FEATURES_CODE).libraries) == {"h5py", "mne", "numpy", "pyarrow", "python", "scipy"}
    assert set(code_of(MODEL).libraries) >= {"numpy", "pyriemann", "scikit-learn", "scipy"}


def test_code_without_its_source_has_no_digest(copy: Path) -> None:
    (copy / "p300_pipeline/making/features.py").unlink()
    command = [sys.executable, "-S", "-m", "p300_pipeline.provenance"]
    done = subprocess.run(command, env={"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "The source of p300_pipeline.making.features is missing" in done.stderr


def test_every_library_computes_with_one_thread() -> None:
    """SciPy is imported by what is fitted, and brings a BLAS of its own."""
    script = """
from threadpoolctl import threadpool_info
from p300_pipeline.making.threads import one_thread
import numpy
with one_thread():
    import scipy.linalg
    print(sorted({pool["num_threads"] for pool in threadpool_info()}))
"""
    threads = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", script], env=threads, capture_output=True, text=True, check=True)
    assert done.stdout == "[1]\n"


def test_equal_arrays_are_equal_files() -> None:
    arrays = {"a": np.arange(5), "b": np.eye(2)}
    body = npz(arrays)
    assert body == npz(arrays)
    assert b"\x00\x00\x21\x00" in body  # 1980-01-01, 00:00: no entry has the time of its writing


# ---- what other code made
@pytest.fixture
def other_filter(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make this code another one."""

    def change() -> None:
        code = provenance.Code("0" * 32, code_of(FEATURES_CODE).libraries, ())
        real = provenance.code_of
        monkeypatch.setattr(provenance, "code_of", lambda entry: code if entry == FEATURES_CODE else real(entry))

    return change


@pytest.fixture
def landed(store: Store, recording_bytes: Callable[..., bytes]) -> Callable[[], list[str]]:
    """landed(): two recordings in the raw data; make their features and return each outcome."""
    for number in (1, 2):
        store.put(RAW, KEY.format(number), recording_bytes(seed=number, n_flashes=60))

    def make() -> list[str]:
        return [preprocess(store, RAW, FEATURES, KEY.format(n), "", Parameters())["outcome"] for n in (1, 2)]

    return make


def trained(store: Store, execution: str = "a", seconds: int = 0) -> TrainResult | SpreadResult:
    from datetime import timedelta

    return training.train(
        store,
        FEATURES,
        MODELS,
        TrainingRequest("lda"),
        Parameters(),
        execution=execution,
        started=STARTED + timedelta(seconds=seconds),
        memory_mb=3008,
    )


def test_a_changed_filter_outdates_features_and_trains_again(
    store: Store, landed: Callable[[], list[str]], other_filter: Callable[[], None]
) -> None:
    assert landed() == ["features", "features"]
    assert landed() == ["unchanged", "unchanged"]
    version = trained(store)["version"]
    assert trained(store, "b", 1)["version"] == version
    other_filter()
    with pytest.raises(TrainingError, match=r"made by code .* expected code 0{12}\. `p300 backfill` recomputes"):
        trained(store, "c", 2)
    assert landed() == ["features", "features"]
    assert trained(store, "c", 2)["version"] != version


@pytest.mark.parametrize("made_by", [{"code_digest": "1" * 32}, {"code_digest": ""}])
def test_features_of_other_code_are_left_out_by_name(
    store: Store, put_features: Callable[..., Any], made_by: dict[str, str]
) -> None:
    for number in (1, 2):
        put_features(f"subject_{number}/run")
    put_features("subject_3/old", made_by=made_by)
    left_out = train(store)["left_out"]
    assert [entry["recording"] for entry in left_out] == ["subject_3/old"]
    assert "p300 backfill" in left_out[0]["reason"]


def test_features_of_other_libraries_are_not_mixed(store: Store, put_features: Callable[..., Any]) -> None:
    put_features("subject_3/old", made_by={"libraries": json.dumps({"numpy": "1.0"})})
    for number in (1, 2):
        put_features(f"subject_{number}/run")
    (left_out,) = train(store)["left_out"]
    assert left_out["recording"] == "subject_3/old"
    assert "made with numpy 1.0; expected h5py " in left_out["reason"]


# ---- made again
def made_again(store: Store, version: str, folder: Path) -> Any:
    return reproduce(store, RAW, MODELS, version, folder, lambda what: None)


def test_features_and_manifest_name_what_they_were_made_of(store: Store, landed: Callable[[], list[str]]) -> None:
    landed()
    manifest = Registry(store, MODELS).manifest(trained(store)["version"])
    entry = manifest["recordings"][0]
    raw, item = store.get(RAW, KEY.format(1))
    body, features = store.get(FEATURES, "subject_01/run/features.parquet")
    assert (entry["raw_key"], entry["raw_etag"], entry["raw_version_id"]) == (
        item.key,
        item.etag,
        item.version_id or "",
    )
    assert (entry["raw_sha256"], entry["features_sha256"]) == (sha256_hex(raw), sha256_hex(body))
    assert read_features(io.BytesIO(body)).provenance["raw_sha256"] == sha256_hex(raw)
    assert (manifest["code_digest"], manifest["features_made_by"]["code_digest"]) == (
        here()["model"],
        here()["features"],
    )
    assert features.metadata["code-digest"] == here()["features"]


def test_a_version_is_made_again_to_the_bit(store: Store, landed: Callable[[], list[str]], tmp_path: Path) -> None:
    landed()
    version = trained(store)["version"]
    store.put(RAW, KEY.format(1), b"a newer upload")  # its version of before is what counts
    found = made_again(store, version, tmp_path)
    assert [file.name for file in found.files] == ["subject_01/run", "subject_02/run", "model.npz"]
    assert found.same
    assert found.differences == ()


def test_a_version_is_made_again_with_the_sidecar_that_it_was_made_with(
    store: Store, landed: Callable[[], list[str]], tmp_path: Path
) -> None:
    sidecar, header = "subject_01/run.p300.json", {"header": KEY.format(1)}
    store.put(RAW, sidecar, b'{"event_delay_ms": 10}', metadata=header)
    landed()
    version = trained(store)["version"]
    entry = Registry(store, MODELS).manifest(version)["recordings"][0]
    assert entry["raw_companion_versions"]["run.p300.json"]["sha256"] == sha256_hex(b'{"event_delay_ms": 10}')
    store.put(RAW, sidecar, b"{}", metadata=header)
    for name in ("again", "gone"):
        (tmp_path / name).mkdir()
    assert made_again(store, version, tmp_path / "again").same
    for item in list(store.client.list_object_versions(Bucket=RAW, Prefix=sidecar)["Versions"]):
        store.delete(RAW, sidecar, item["VersionId"])
    with pytest.raises(ArtifactError, match=r"run\.p300\.json, version .* is gone"):
        made_again(store, version, tmp_path / "gone")


def test_what_differs_is_said(store: Store, landed: Callable[[], list[str]], tmp_path: Path) -> None:
    landed()
    version = trained(store)["version"]
    manifest = json.loads(store.get(MODELS, f"{version}/manifest.json")[0])
    manifest["artifacts"]["model.npz"]["sha256"] = "0" * 64
    manifest["libraries"]["numpy"] = "1.0"
    store.put(MODELS, f"{version}/manifest.json", json.dumps(manifest).encode())
    found = made_again(store, version, tmp_path)
    assert [file.same for file in found.files] == [True, True, False]
    assert found.differences == (f"numpy 1.0 then, {np.__version__} now",)


def test_a_version_of_other_code_says_which(
    store: Store, landed: Callable[[], list[str]], other_filter: Callable[[], None], tmp_path: Path
) -> None:
    landed()
    version = trained(store)["version"]
    made_by = here()
    other_filter()
    with pytest.raises(ArtifactError) as refused:
        made_again(store, version, tmp_path)
    assert refused.value.code == "other_code"
    assert f"features {made_by['features']}, model {made_by['model']}" in refused.value.message


def test_a_version_that_names_no_code_or_whose_recording_is_gone_is_refused(
    store: Store, landed: Callable[[], list[str]], tmp_path: Path
) -> None:
    landed()
    version = trained(store)["version"]
    for item in list(store.client.list_object_versions(Bucket=RAW, Prefix=KEY.format(2)).get("Versions", [])):
        store.delete(RAW, KEY.format(2), item["VersionId"])
    with pytest.raises(ArtifactError, match=r"subject_02/run.parquet, version .* is gone"):
        made_again(store, version, tmp_path)
    manifest = json.loads(store.get(MODELS, f"{version}/manifest.json")[0])
    del manifest["features_made_by"]
    store.put(MODELS, f"{version}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(ArtifactError, match="does not say which code made it"):
        made_again(store, version, tmp_path)
