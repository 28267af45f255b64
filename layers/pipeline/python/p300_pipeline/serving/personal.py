"""Which model answers ``?subject=``: the subject's personal model where there is one that fits, else the population's, and which it was."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from p300.errors import ArtifactError
from p300.montages import why_not_interpolated
from p300.text import few_of

from p300_pipeline.aliases import read_alias
from p300_pipeline.errors import HttpError
from p300_pipeline.keys import subject_named
from p300_pipeline.montage_groups import Montage
from p300_pipeline.personal_models import aliases_of, subject_in
from p300_pipeline.storage import UnchangedError, storage_errors

from .cache import ALIAS_CHECK_S, ModelCache, Served
from .requests import short

ALIASES_KEPT = 64
"""Aliases of subjects in memory, those without a model too: there are as many names as somebody can think of."""
MADE_ALIKE = ("n_times", "sfreq", "tmin", "preprocessing")


@dataclass(frozen=True)
class Answering:
    """The model that answers a request about a subject.

    Attributes
    ----------
    served : Served
    alias : str
        Its alias: the subject's, or that of the population's champion.
    note : str
        Why the population's answers; empty where the personal model does.
    """

    served: Served
    alias: str
    note: str = ""


@dataclass(frozen=True)
class _Entry:
    """What an alias of a subject held when it was last read; neither a model nor a note where it was never set."""

    checked: float
    etag: str | None = None
    served: Served | None = None
    group: str = ""
    note: str = ""
    problem: str = ""


def parse_subject(text: str) -> str:
    """Return the canonical name of the subject that a query names.

    Raises
    ------
    HttpError
        400 where it cannot be one.
    """
    subject = subject_named(text)
    if subject is None:
        raise HttpError(
            "bad_subject",
            f"subject is {short(text)}; expected a subject such as subject_07, sub-07 or 07, its label of up to 64 letters and digits. "
            "Without subject, the population's model answers.",
            400,
        )
    return subject


class PersonalModels:
    """Personal models by alias, cached as `ModelCache` does: an alias is read again at most every `ALIAS_CHECK_S` seconds.

    Parameters
    ----------
    cache : ModelCache
        Loads versions.
    on_fault : callable
        As in `ModelCache`.
    """

    def __init__(self, cache: ModelCache, on_fault: Callable[[str, str], None]) -> None:
        self._cache = cache
        self._on_fault = on_fault
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def answering(self, subject: str, alias: str, population: Served, request: Mapping[str, Any]) -> Answering:
        """Return the model that answers a request about a subject.

        Parameters
        ----------
        subject : str
            Canonical name.
        alias, population : str, Served
            What answers where the subject is not named: `p300_pipeline.serving.routing.route`.
        request : mapping
            The body. Where it names channels, the personal model must be able to use them; where not, it must have the population's.
        """
        first, other = aliases_of(subject, Montage.of(population.manifest).group)
        entry, name = self._entry(first), first
        if entry.group and entry.group != Montage.of(population.manifest).group:
            entry, name = self._entry(other), other
        note = entry.note
        if entry.served is None:
            note = note or (
                f"There is no personal model of {subject} for these channels. One is made when a recording of {subject} lands."
            )
        elif not (note := _misfit(entry.served, population, request.get("channels"))):
            return Answering(entry.served, name)
        return Answering(population, alias, f"{note} The population's model answered.")

    def _entry(self, alias: str) -> _Entry:
        with self._lock:
            entry, now = self._entries.get(alias), self._cache.now()
            if entry is None or now - entry.checked >= ALIAS_CHECK_S:
                entry = self._read(alias, entry, now)
                if entry.problem:
                    self._on_fault(alias, entry.problem)
            self._entries[alias] = entry
            self._entries.move_to_end(alias)
            if len(self._entries) > ALIASES_KEPT:
                self._entries.popitem(last=False)
            return entry

    def _read(self, alias: str, before: _Entry | None, now: float) -> _Entry:
        registry = self._cache.registry
        known = before.etag if before and not before.problem else None
        try:
            found = read_alias(registry.store, registry.bucket, alias, unless=known)
            if found is None:
                return _Entry(now)
            version = found.checked
            served = self._cache.load(version)
        except UnchangedError:
            assert before is not None  # noqa: S101
            return replace(before, checked=now)
        except ArtifactError as error:
            problem = error.message
        except storage_errors() as error:
            problem = self._cache.unreadable(error)
        else:
            group = Montage.of(served.manifest).group
            if subject_in(version) is None:
                return _Entry(now, found.item.etag, None, group, f"{alias} was rolled back to the population's model.")
            return _Entry(now, found.item.etag, served, group)
        if before and before.served:  # the last good one goes on serving
            return replace(before, checked=now, problem=problem)
        return _Entry(now, note=f"The personal model {alias} cannot be used: {problem}", problem=problem)


def _misfit(personal: Served, population: Served, channels: Any) -> str:
    """Say why a personal model cannot answer a request that the population's can; an empty string where it can."""
    theirs, own = population.manifest, personal.manifest
    if differing := [name for name in MADE_ALIKE if own.get(name) != theirs.get(name)]:
        return (
            f"{personal.version} takes features of another {differing[0]} than the population's {population.version}."
        )
    wanted = own["channels"]
    named = isinstance(channels, list) and all(isinstance(name, str) for name in channels)
    fits = not why_not_interpolated(channels, wanted) if named else wanted == theirs["channels"]
    return "" if fits else f"{personal.version} takes the channels {few_of(wanted)}, which the request does not have."
