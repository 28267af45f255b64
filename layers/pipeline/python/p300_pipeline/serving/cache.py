"""Models by alias, kept in memory: which one serves now, and what is wrong where the one that should cannot."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from p300.chance import chance_of
from p300.decoding import Response
from p300.errors import ArtifactError
from p300.json_text import is_number
from p300.scoring import Scorer, read_arrays

from p300_pipeline.aliases import ALIASES, VERSION, no_such_version, read_alias
from p300_pipeline.errors import HttpError
from p300_pipeline.montage_groups import GROUP_ALIAS, MONTAGES_KEY, Montage, alias_of, parse_groups
from p300_pipeline.promotions import Promotions
from p300_pipeline.registry import Registry
from p300_pipeline.storage import NoBucketError, NotFoundError, Store, UnchangedError, storage_errors

ALIAS_CHECK_S = 2.0
INTACT_CHECK_S = 10.0
USUAL_REJECTION_UV = 100.0
_VERSIONS_KEPT = 4


@dataclass(frozen=True)
class Served:
    """A model that is ready to score.

    Attributes
    ----------
    version : str
        Its version.
    scorer : Scorer
        Its weights.
    manifest : dict
        Its manifest.
    response : Response or None
        What decoding adapts to a person; None of a model that was trained before there was one.
    named : tuple of str or None
        The channels that a request names; None where they are the model's.
    """

    version: str
    scorer: Scorer
    manifest: dict[str, Any]
    response: Response | None = None
    named: tuple[str, ...] | None = None

    @property
    def n_features(self) -> int:
        """How many features an epoch of the request has: those of the channels that it names, or else the model's."""
        return len(self.named) * self.scorer.n_times if self.named else self.scorer.n_features

    @property
    def expected(self) -> str:
        """What the model takes, in words."""
        channels, n_times = self.named or self.manifest["channels"], self.manifest["n_times"]
        return (
            f"{len(channels) * n_times} features an epoch: {len(channels)} channels ({' '.join(channels)}) x {n_times} samples at "
            f"{self.manifest['sfreq']:g} Hz from {self.manifest['tmin']:g} s, channel after channel, in volts"
        )

    @cached_property
    def chance(self) -> dict[str, Any] | None:
        """The test of the model against chance; None where it was trained before there was one, or says it badly."""
        try:
            return chance_of(self.manifest["metrics"])
        except ArtifactError:
            return None

    @cached_property
    def rejection_limit_uv(self) -> float:
        """Peak to peak, what kept epochs out of training; the usual limit where the manifest does not say."""
        preprocessing: Any = self.manifest.get("preprocessing")
        limit = preprocessing.get("reject_peak_to_peak_uv") if isinstance(preprocessing, dict) else None
        return float(limit) if limit is not None and is_number(limit) and 0 < limit < 1e6 else USUAL_REJECTION_UV


class ModelCache:
    """Models by alias, cached. An alias is read again at most every `ALIAS_CHECK_S` seconds, so a new champion needs no restart.

    A model that cannot be loaded (missing, altered, of a newer format, storage out of reach) does not replace the last good one: that
    one goes on serving and `problem` says why. A process that starts with a champion that cannot be loaded serves the newest champion
    of the history that can.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        Models bucket.
    on_fault : callable, optional
        Told the alias and the problem each time that an alias's model is looked for and cannot serve; not told of an alias that was
        never set.
    """

    def __init__(
        self, store: Store, bucket: str, on_fault: Callable[[str, str], None] = lambda alias, problem: None
    ) -> None:
        self.registry = Registry(store, bucket)
        self._on_fault = on_fault
        self._damage: str | None = None
        self._intact_checked = float("-inf")
        self._lock = threading.Lock()
        self._by_version: dict[str, Served] = {}
        self._aliases: dict[str, tuple[str, str]] = {}
        self._checked: dict[str, float] = {}
        self._last_good: dict[str, Served] = {}
        self.problems: dict[str, str] = {}
        self._groups: list[str] = []
        self._groups_etag: str | None = None
        self._groups_checked = float("-inf")

    def model(self, alias: str = "champion") -> Served:
        """Return the present model of `alias` (or of a version name).

        Raises
        ------
        HttpError
            400 for a name that is neither, 503 where nothing can serve yet.
        """
        if VERSION.fullmatch(alias):
            try:
                return self._load(alias)
            except ArtifactError as error:
                raise HttpError("unknown_version", f"alias={alias}: {error.message}", 404) from error
            except storage_errors() as error:
                raise HttpError("no_model", self.unreadable(error), 503) from error
        if alias not in ALIASES and not GROUP_ALIAS.fullmatch(alias):
            raise HttpError(
                "unknown_alias",
                f"alias is {alias[:80]!r}; expected {', '.join(ALIASES)}, champion_<montage> (GET /models lists them), or a version.",
                400,
            )
        with self._lock:
            return self._model_of_alias(alias)

    def other_champions(self) -> dict[str, Served]:
        """Return the champions of all montages but the default by alias; those that cannot serve are in `problems`."""
        with self._lock:
            default = self._last_good.get("champion")
            own = Montage.of(default.manifest).group if default else None
            found = {}
            for alias in [alias_of(group) for group in self._present_groups() if group != own]:
                try:
                    found[alias] = self._model_of_alias(alias)
                except HttpError:
                    continue
            return found

    def _present_groups(self) -> list[str]:
        now = time.monotonic()
        if now - self._groups_checked < ALIAS_CHECK_S:
            return self._groups
        self._groups_checked = now
        store, bucket = self.registry.store, self.registry.bucket
        try:
            body, item = store.get(bucket, MONTAGES_KEY, unless=self._groups_etag)
            self._groups, self._groups_etag = list(parse_groups(body, bucket)), item.etag
        except UnchangedError:
            pass
        except NotFoundError:
            self._groups, self._groups_etag = [], None
        except ArtifactError as error:
            self.problems["montages"] = error.message
            self._on_fault("montages", error.message)
            return self._groups
        except storage_errors() as error:
            self.problems["montages"] = self.unreadable(error)
            return self._groups
        self.problems.pop("montages", None)
        return self._groups

    def _model_of_alias(self, alias: str) -> Served:
        now = time.monotonic()
        if alias not in self._last_good or now - self._checked[alias] >= ALIAS_CHECK_S:
            is_set = self._refresh(alias)
            self._checked[alias] = now
            if not is_set and GROUP_ALIAS.fullmatch(
                alias
            ):  # nothing is kept of it: there are as many names as somebody can think of
                del self._checked[alias], self.problems[alias]
                raise HttpError(
                    "unknown_alias", f"alias={alias}: there is no such champion. `p300 models` lists the aliases.", 404
                )
        if alias not in self._last_good:
            raise HttpError("no_model", self.problems[alias], 503)
        return self._last_good[alias]

    def _refresh(self, alias: str) -> bool:
        """Look at an alias again; return False if it was never set."""
        version = ""
        try:
            version = self._version(alias)
            self._last_good[alias] = self._load(version)
        except ArtifactError as error:
            self.problems[alias] = no_such_version(alias, version) if error.code == "no_manifest" else error.message
            if alias != "challenger" and alias not in self._last_good:
                self._fall_back(alias)
            if error.code == "no_model":
                if alias not in self._last_good:
                    return False  # nothing has been trained yet
                self.problems[alias] = _lost(alias, self._last_good[alias].version)
        except storage_errors() as error:
            self.problems[alias] = self.unreadable(error)
        else:
            self.problems.pop(alias, None)
            return True
        self._on_fault(alias, self.problems[alias])
        return True

    def _fall_back(self, alias: str) -> None:
        """Use the newest champion in the history that loads: new processes start all the time, with empty memory."""
        try:
            line = Promotions(self.registry.store, self.registry.bucket, alias)
            earlier = dict.fromkeys(str(entry["version"]) for entry in reversed(line.history()))
        except _unloadable():
            return  # without a readable history there is nothing to return to
        for version in earlier:
            try:
                self._last_good[alias] = self._load(version)
            except _unloadable():
                continue
            return

    def load(self, version: str) -> Served:
        """Return a version, from memory where it is one of the last few; raises as `Registry.manifest` and `Registry.artifact`."""
        with self._lock:
            return self._load(version)

    @staticmethod
    def now() -> float:
        """Return the time that aliases are checked by, in seconds."""
        return time.monotonic()

    def unreadable(self, error: Exception) -> str:
        """Return what to say about an error of the storage."""
        if isinstance(error, NoBucketError):
            return error.message
        return f"The models bucket s3://{self.registry.bucket} cannot be read: {error}"

    def _version(self, alias: str) -> str:
        held = self._aliases.get(alias)
        try:
            found = read_alias(self.registry.store, self.registry.bucket, alias, unless=held[1] if held else None)
        except UnchangedError:
            assert held is not None  # noqa: S101
            return held[0]
        self._aliases.pop(alias, None)
        if found is None:
            raise ArtifactError("no_model", f"No model is {alias} yet. Train one first.")
        self._aliases[alias] = (found.checked, found.item.etag)
        return self._aliases[alias][0]

    def _load(self, version: str) -> Served:
        # What the aliases hold is kept beside the last few versions: there may be more montages than these.
        held = (served for served in self._last_good.values() if served.version == version)
        served = self._by_version.get(version) or next(held, None)
        if served is None:
            manifest = self.registry.manifest(version)
            content = self.registry.artifact(version, "model.npz", manifest)
            try:
                arrays = read_arrays(content)
                scorer = Scorer.from_arrays(arrays)
            except ArtifactError as error:
                raise ArtifactError(error.code, f"{version}: {error.message}") from error
            told = len(manifest["channels"]), manifest["n_times"]
            if told != (scorer.n_channels, scorer.n_times):
                raise ArtifactError(
                    "bad_manifest",
                    f"The manifest of model {version} tells of {told[0]} channels x {told[1]} samples; its model.npz takes "
                    f"{scorer.n_channels} x {scorer.n_times}.",
                )
            served = Served(version, scorer, manifest, scorer.response)
            kept = list(self._by_version.items())[-_VERSIONS_KEPT + 1 :]
            self._by_version = {**dict(kept), version: served}
        return served

    def problem(self, served: Served) -> str | None:
        """Return what is wrong with the champion, which `served` represents now; None if nothing is wrong."""
        self._check_intact(served)
        return self.problems.get("champion") or self._damage

    def _check_intact(self, served: Served) -> None:
        """Look whether what serves from memory could be loaded again, before the next start of a process has to find out."""
        now = time.monotonic()
        if now - self._intact_checked < INTACT_CHECK_S:
            return
        self._intact_checked, self._damage = now, None
        try:
            self.registry.artifact(served.version, "model.npz", self.registry.manifest(served.version))
        except ArtifactError as error:
            self._damage = f"{error.message} It serves from memory only: restore it, or promote another version."
        except storage_errors() as error:
            self._damage = self.unreadable(error)
        if self._damage:
            self._on_fault("champion", self._damage)


def _lost(alias: str, version: str) -> str:
    remedy = f"`p300 promote {version}` sets it again" if alias != "challenger" else "The next training sets it again"
    return f"The alias {alias} is not set any more; {version}, which it pointed to, is still served. {remedy}."


def _unloadable() -> tuple[type[Exception], ...]:
    return ArtifactError, *storage_errors()
