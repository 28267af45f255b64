"""Makes a version again: its features, from the versions of the raw recordings that its manifest names, and its model; compares digests."""

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p300.errors import ArtifactError
from p300.signals.parameters import Parameters

from p300_pipeline import provenance
from p300_pipeline.keys import RecordingKey
from p300_pipeline.making.threads import one_thread
from p300_pipeline.registry import Registry
from p300_pipeline.steps.training.choice import COMPANION_FACTS, RAW_FACTS
from p300_pipeline.storage import NotFoundError, PreconditionError, Store, sha256_hex

MODEL_FILE = "model.npz"


@dataclass(frozen=True)
class Compared:
    """One file that was rebuilt.

    Attributes
    ----------
    name : str
        The recording whose features it holds, or ``model.npz``.
    expected, found : str
        SHA-256 of what the manifest names, and of what was made now.
    """

    name: str
    expected: str
    found: str

    @property
    def same(self) -> bool:
        """Whether it is the same to the bit."""
        return self.expected == self.found


@dataclass(frozen=True)
class Reproduction:
    """The result of rebuilding a version.

    Attributes
    ----------
    version : str
        The version.
    files : tuple of Compared
        Features of each recording, then the model.
    differences : tuple of str
        In what this machine and its libraries differ from those that made the version.
    """

    version: str
    files: tuple[Compared, ...]
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether all files are the same to the bit."""
        return all(file.same for file in self.files)


def reproduce(
    store: Store, raw_bucket: str, models_bucket: str, name: str, folder: Path, tell: Callable[[str], None]
) -> Reproduction:
    """Rebuild a version.

    Memory holds one recording at a time, as in the functions; all features together are on disk.

    Parameters
    ----------
    store : Store
        S3 access; nothing is written to it.
    raw_bucket, models_bucket : str
        Bucket names.
    name : str
        The version, or an alias of it.
    folder : Path
        An empty folder for raw files and features.
    tell : callable
        Told what is being made.

    Raises
    ------
    ArtifactError
        ``no_code`` where the version does not say which code made it, ``other_code`` where that is other code than this, ``no_raw``
        where a raw recording is gone or was altered; the message says what is needed.
    """
    registry = Registry(store, models_bucket)
    manifest = registry.manifest(registry.resolve(name))
    version = manifest["version"]
    made_by = _require_code(manifest)
    parameters = Parameters.from_dict(manifest["preprocessing"])
    files, paths = [], {}
    for number, entry in enumerate(manifest["recordings"]):
        tell(f"features of {entry['recording']}")
        path = paths[entry["recording"]] = folder / f"{number}.parquet"
        _make_features(store, raw_bucket, entry, made_by, parameters, path)
        files.append(Compared(entry["recording"], entry["features_sha256"], sha256_hex(path)))
    tell(f"{version}: {manifest['kind']} on {len(paths)} recordings")
    found = _make_model(paths, manifest)
    files.append(Compared(MODEL_FILE, manifest["artifacts"][MODEL_FILE]["sha256"], found))
    return Reproduction(version, tuple(files), tuple(_differences(manifest)))


def _require_code(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what made the features; see that it, and what made the model, is the code that runs here."""
    version, made_by = manifest["version"], manifest.get("features_made_by")
    stated = [made_by.get("code_digest") if isinstance(made_by, dict) else None, manifest.get("code_digest")]
    if not isinstance(made_by, dict) or not all(isinstance(digest, str) for digest in stated):
        raise ArtifactError(
            "no_code",
            f"{version} does not say which code made it (p300 {manifest.get('code_version', 'of an unknown version')}, from before digests "
            "of code were kept): it cannot be made again. A version trained now can.",
        )
    here = [provenance.code_of(entry).digest for entry in (provenance.FEATURES, provenance.MODEL)]
    if stated != here:
        needed, present = (f"features {one}, model {other}" for one, other in (stated, here))
        raise ArtifactError(
            "other_code",
            f"{version} was made by other code (p300 {manifest.get('code_version')}): {needed}. The code here: {present}. Run `p300 "
            "reproduce` from a checkout of the code that made it: `python -m p300_pipeline.provenance` prints a checkout's digests.",
        )
    return made_by


def _make_features(
    store: Store,
    bucket: str,
    entry: Mapping[str, Any],
    made_by: dict[str, Any],
    parameters: Parameters,
    target: Path,
) -> None:
    # MNE takes seconds to import.
    from p300_pipeline.making.features import make_features

    if not {*RAW_FACTS, "features_sha256", "person"} <= entry.keys():
        raise ArtifactError(
            "no_raw", f"The manifest does not name the raw version of {entry['recording']}: it cannot be made again."
        )
    key = RecordingKey.parse(entry["raw_key"])
    raw = target.parent / "raw"
    raw.mkdir()
    etags, versions = (entry.get(name) or {} for name in COMPANION_FACTS)
    wanted = [(str(key), key.file_name, entry["raw_etag"], entry["raw_version_id"], entry["raw_sha256"])]
    wanted += [
        (key.beside(name), name, etag, versions[name]["version_id"], versions[name]["sha256"])
        for name, etag in etags.items()
    ]
    for address, name, etag, version_id, sha256 in wanted:
        _download(store, bucket, address, raw / name, etag, version_id, sha256)
    stated = {**{name: entry[name] for name in (*RAW_FACTS, *COMPANION_FACTS) if name in entry}, **made_by}
    # The statements of the original file, so that equal features give equal files; differing libraries are reported separately.
    texts = {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in stated.items()}
    with one_thread():
        make_features(key, raw / key.file_name, parameters, texts, target)
    for path in raw.iterdir():
        path.unlink()
    raw.rmdir()


def _download(store: Store, bucket: str, key: str, path: Path, etag: str, version_id: str, sha256: str) -> None:
    named = f"s3://{bucket}/{key}, version {version_id or 'with ETag ' + etag}"
    try:
        store.download(bucket, key, path, version_id=version_id or None, if_match=None if version_id else etag)
    except (NotFoundError, PreconditionError) as error:
        raise ArtifactError("no_raw", f"{named} is gone: the version cannot be made again without it.") from error
    if (found := sha256_hex(path)) != sha256:
        raise ArtifactError("no_raw", f"{named} has SHA-256 {found[:12]}..., the manifest says {sha256[:12]}...")


def _make_model(paths: Mapping[str, Path], manifest: Mapping[str, Any]) -> str:
    from p300_pipeline.making.model import Downloaded, make_model

    person = {entry["recording"]: entry["person"] for entry in manifest["recordings"]}
    recordings = Downloaded(paths, person.__getitem__, manifest["channels"])
    made = make_model(recordings, manifest["kind"], manifest["seed"])
    return hashlib.sha256(made.npz).hexdigest()


def _differences(manifest: Mapping[str, Any]) -> list[str]:
    features, model = (provenance.code_of(entry).libraries for entry in (provenance.FEATURES, provenance.MODEL))
    then = {
        **manifest["features_made_by"].get("libraries", {}),
        **(manifest.get("libraries") or {}),
        "python": manifest.get("python"),
        **(manifest.get("machine") or {}),
    }
    now = {**features, **model, "python": platform.python_version(), **provenance.machine()}
    return [f"{name} {then[name]} then, {now[name]} now" for name in then if name in now and then[name] != now[name]]
