"""Which version serves: the aliases of the models bucket, the pointer that follows the champion, and the history of promotions.

Each montage group has a line of champions of its own: an alias and a history (see `p300_pipeline.montage_groups`).
"""

import json
import time
from datetime import UTC, datetime
from typing import Any

from p300.errors import ArtifactError
from p300.montages import Channels

from p300_pipeline.aliases import ALIASES, POINTER_KEY, SUBJECT_ALIAS, Alias, no_such_version, read_alias
from p300_pipeline.documents import MEND, parse
from p300_pipeline.montage_groups import GROUP_ALIAS, Montage, add_group, alias_of, read_groups
from p300_pipeline.storage import Keep, NotFoundError, Store, Write, compare_and_swap, find

CHAMPION = "champion"
HISTORY_KEY = "aliases/history.json"
_MAX_RACES = 50


class Promotions:
    """The aliases of a models bucket.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        Name of the models bucket.
    role : str
        Whose promotions: ``champion`` (of the default group), or the alias of another group or of a subject.
    """

    def __init__(self, store: Store, bucket: str, role: str = CHAMPION) -> None:
        self.store = store
        self.bucket = bucket
        self.role = role

    def line(self, group: str) -> "Promotions":
        """Return the promotions of a group that is not the default."""
        return Promotions(self.store, self.bucket, alias_of(group))

    @property
    def _history_key(self) -> str:
        return HISTORY_KEY if self.role == CHAMPION else f"aliases/history_{self.role}.json"

    # -- reading
    def alias(self, name: str) -> str | None:
        """Return the version an alias holds, or None where it is not set.

        Raises
        ------
        ArtifactError
            ``damaged_alias`` where it holds anything else.
        """
        found = self._alias(name)
        return found.checked if found else None

    def held_by(self, name: str) -> str | None:
        """Return the version an alias holds, or None where it is not set or damaged."""
        found = self._alias(name)
        return found.version if found else None

    def aliases(self) -> tuple[dict[str, str | None], list[str]]:
        """Return the version that each alias holds (None where it is not set or damaged), and what is wrong with the damaged ones."""
        problems = []
        try:
            names = [*ALIASES, *map(alias_of, self.other_groups())]
        except ArtifactError as error:
            names, problems = [*ALIASES], [error.message]
        found = {name: self._alias(name) for name in names}
        held = {name: alias.version if alias else None for name, alias in found.items() if alias or name in ALIASES}
        return held, problems + [alias.problem for alias in found.values() if alias and alias.problem]

    def other_groups(self) -> dict[str, Channels]:
        """Return the channels of each group but the default: those whose alias counts.

        Raises
        ------
        ArtifactError
            ``bad_document`` where the file that names the groups is damaged.
        """
        groups = read_groups(self.store, self.bucket)
        default = self.group_of(version) if groups and (version := self._held(self._alias(CHAMPION))) else None
        return {name: channels for name, channels in groups.items() if name != default}

    def group_of(self, version: str) -> str | None:
        """Return the name of a version's group, or None where its manifest cannot be read."""
        try:
            return Montage.of(self.manifest(version)).group
        except ArtifactError:
            return None

    def manifest(self, version: str) -> dict[str, Any]:
        """Return a version's manifest; see `p300_pipeline.registry.Registry`."""
        raise NotImplementedError

    def problems(self) -> list[str]:
        """Return what is wrong with the aliases and the pointer, each with a remedy."""
        held, problems = self.aliases()
        problems += [
            no_such_version(name, version)
            for name, version in held.items()
            if version and find(self.store, self.bucket, f"{version}/manifest.json") is None
        ]
        champion = held["champion"]
        if self._alias(CHAMPION) is None and (last := next(reversed(self.history()), None)):
            version = last["version"]
            problems.append(
                f"The alias champion is not set, though {version} was promoted last. `p300 promote {version}` sets it again."
            )
        if champion and (pointed := self.pointer()) != champion:
            says = "is missing" if pointed is None else f"says {pointed[:40]!r}"
            problems.append(
                f"s3://{self.bucket}/{POINTER_KEY} {says}; the champion is {champion}. `p300 promote {champion}` writes it again."
            )
        return problems

    def pointer(self) -> str | None:
        """Return the version in the pointer, or None where it is missing."""
        try:
            return self.store.get(self.bucket, POINTER_KEY)[0].decode(errors="replace").strip()
        except NotFoundError:
            return None

    def champion(self) -> str | None:
        """Return the version that should serve: the champion or, where its alias is damaged or missing, the version promoted last."""
        return self._held(self._alias(self.role))

    def resolve(self, name: str) -> str:
        """Return the version that an alias holds, or `name` itself where it is not an alias.

        Raises
        ------
        ArtifactError
            If the alias is not set.
        """
        if name not in ALIASES and not GROUP_ALIAS.fullmatch(name) and not SUBJECT_ALIAS.fullmatch(name):
            return name
        version = self.alias(name)
        if version is None:
            raise ArtifactError("no_model", f"No model is {name} yet. Train one first.")
        return version

    def champions(self) -> dict[str, str]:
        """Return the version that each alias of a champion holds, the default group's first.

        Raises
        ------
        ArtifactError
            As `other_groups`.
        """
        names = [CHAMPION, *map(alias_of, self.other_groups())]
        return {name: version for name in names if (version := self.held_by(name))}

    def history(self) -> list[dict[str, Any]]:
        """Return every promotion, oldest first."""
        return self._history()[0]

    def replaced_by(self, version: str) -> str | None:
        """Return the champion before `version` according to the history, which may not include `version` itself yet."""
        last = next(reversed(self.history()), None)
        if last is None:
            return None
        replaced: str | None = last["replaced"] if last["version"] == version else last["version"]
        return replaced

    # -- writing
    def set_alias(self, name: str, version: str) -> str | None:
        """Point an alias at a version, whatever it held before; return what it held."""

        def decide() -> Write[str | None]:
            before = self._alias(name)
            return Write(before.version if before else None, version.encode(), _etag(before), "text/plain")

        return compare_and_swap(self.store, self.bucket, f"aliases/{name}", decide)[0]

    def promote(self, version: str, *, expected: str | None, entry: dict[str, Any]) -> bool:
        """Make `version` the champion if `expected` still is; record it in the history.

        Parameters
        ----------
        version : str
            A finished version.
        expected : str or None
            The champion that `version` was compared with; None where there was none.
        entry : dict
            JSON-serialisable metrics for the history.

        Returns
        -------
        bool
            False if the champion changed in the meantime; compare again then.
        """

        def decide() -> Keep[bool] | Write[bool]:
            before = self._alias(self.role)
            if self._held(before) not in {version, expected}:
                return Keep(False)
            if before and before.version == version:
                return Keep(True)
            self.finish_promotion()
            return Write(True, version.encode(), _etag(before), "text/plain")

        if not compare_and_swap(self.store, self.bucket, f"aliases/{self.role}", decide)[0]:
            return False
        # The pointer and the history follow the alias; the alias alone decides what serves.
        self.follow_champion()
        self._record({"version": version, "replaced": expected, "at": _time(time.time()), **entry})
        return True

    def make_default(self, version: str, *, expected: str, entry: dict[str, Any]) -> bool:
        """Make another group the default: its `version` becomes the champion, and that of the default so far keeps serving its group.

        Parameters and answer as in `promote`.
        """
        before = Montage.of(self.manifest(expected))
        add_group(self.store, self.bucket, before.channels)
        line = self.line(before.group)
        why = {"why": f"{version} of another montage became the default champion."}
        while not line.promote(expected, expected=line.champion(), entry={**entry, **why}):
            pass  # another promotion of that group came in between
        return self.promote(version, expected=expected, entry=entry)

    def finish_promotion(self) -> None:
        """Finish a promotion that ended right after the alias: write the pointer, and an entry in the history without metrics."""
        found, history = self._alias(self.role), self.history()
        replaced = history[-1]["version"] if history else None
        if found is None or found.version is None or found.version == replaced:
            return
        self.follow_champion()
        why = "The promotion was interrupted before it recorded the reason."
        self._record({"version": found.version, "replaced": replaced, "at": _time(found.item.modified), "why": why})

    def follow_champion(self) -> None:
        """Write the pointer until the champion is the same before and after: of two racing promotions, the last one corrects it."""
        if self.role != CHAMPION:
            return  # the pointer is the default group's
        for _ in range(_MAX_RACES):
            champion = self._alias(CHAMPION)
            if champion is None or champion.version is None:
                return
            self.store.put(self.bucket, POINTER_KEY, champion.version.encode(), content_type="text/plain")
            if (now := self._alias(CHAMPION)) and now.version == champion.version:
                return
        raise RuntimeError("alias champion kept changing")

    # -- inner
    def _alias(self, name: str) -> Alias | None:
        return read_alias(self.store, self.bucket, name)

    def _held(self, champion: Alias | None) -> str | None:
        """Return the version of the alias champion; where it is damaged or missing, the version promoted last."""
        if champion and champion.version:
            return champion.version
        last = next(reversed(self.history()), None)
        return str(last["version"]) if last else None

    def _history(self) -> tuple[list[dict[str, Any]], str | None]:
        try:
            body, item = self.store.get(self.bucket, self._history_key)
        except NotFoundError:
            return [], None
        name = f"s3://{self.bucket}/{self._history_key}"
        history: list[dict[str, Any]] = parse(body, name, list)
        for number, entry in enumerate(history, 1):
            texts = isinstance(entry, dict) and isinstance(entry.get("version"), str)
            if not texts or not isinstance(entry.get("replaced"), str | None):
                raise ArtifactError("bad_document", f"Entry {number} of {name} is not a promotion. {MEND}")
        return history, item.etag

    def _record(self, entry: dict[str, Any]) -> None:
        def decide() -> Keep[None] | Write[None]:
            history, etag = self._history()
            if self.champion() != entry["version"]:
                return Keep(None)  # whoever promoted another version since has recorded this one first
            if history and history[-1]["version"] == entry["version"]:
                if "execution" in history[-1] or "execution" not in entry:
                    return Keep(None)  # a retry
                history.pop()  # the substitute that `finish_promotion` wrote for this one
            return Write(None, json.dumps([*history, entry], indent=1).encode(), etag, "application/json")

        compare_and_swap(self.store, self.bucket, self._history_key, decide)


def _etag(alias: Alias | None) -> str | None:
    return alias.item.etag if alias else None


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
