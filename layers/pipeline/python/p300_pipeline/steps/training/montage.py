"""Which montage a training is of, which recordings have it, and what is done for those that lack a few of its channels."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from p300.channels import plain
from p300.errors import ArtifactError
from p300.montages import Channels, group_of, key_of, leaders, missing, name_of, why_not_interpolated
from p300.text import few_of

from p300_pipeline.feature_store import subject_of
from p300_pipeline.making.model import Downloaded
from p300_pipeline.making.threads import one_thread
from p300_pipeline.montage_groups import Montage, alias_of
from p300_pipeline.registry import Registry
from p300_pipeline.steps.training.request import TrainingRequest

INTERPOLATED, COMMON = "interpolated", "common"


@dataclass(frozen=True)
class Plan:
    """The montage of a training.

    Attributes
    ----------
    group : tuple of str
        The montage that stands for the group.
    wanted : tuple of str
        The channels that most people of the group have; others are interpolated to them.
    common : tuple of str
        Those of them that every recording has; the same where nothing is missing, empty where only interpolation is possible.
    of_group : frozenset of str
        Recordings of the group; those of other groups may have all wanted channels among theirs.
    left_out : dict of str to str
        By recording, why it is not of this training.
    of_others : frozenset of str
        Those of them that are of another group.
    """

    group: Channels
    wanted: Channels
    common: Channels
    of_group: frozenset[str]
    left_out: dict[str, str]
    of_others: frozenset[str]

    @property
    def is_complete(self) -> bool:
        """Whether every recording has all wanted channels."""
        return self.common == self.wanted

    def ways(self, channels: Mapping[str, Channels]) -> dict[str, Channels]:
        """Return the montages that a model may be of: on the common channels, or on all with the missing ones interpolated."""
        if self.is_complete:
            return {"complete": self.wanted}
        can = any(not why_not_interpolated(own, self.wanted) for own in channels.values())
        return {**({INTERPOLATED: self.wanted} if can else {}), **({COMMON: self.common} if self.common else {})}


def plan(registry: Registry, request: TrainingRequest, channels: Mapping[str, Channels]) -> Plan:
    """Decide on the montage of a training.

    Parameters
    ----------
    registry : Registry
        Its champions' montages stand for groups.
    request : TrainingRequest
        It may name the channels, or the recording that made training due; else the montage is that of the default champion, or that of
        most people where there is none, or no recording of its montage.
    channels : mapping of str to tuple of str
        By recording, of those that may be trained on: at least one.
    """
    default, groups = _groups(registry)
    found = leaders(channels.values(), groups)
    group_by_name = {name: group_of(own, found) for name, own in channels.items()}
    if request.channels:
        group = wanted = request.channels
    else:
        group = _group(request, default, channels, group_by_name)
        wanted = _wanted(group, {name: own for name, own in channels.items() if group_by_name[name] == group})
    members = {
        name: own
        for name, own in channels.items()
        if not missing(own, wanted) or (not request.channels and group_by_name[name] == group)
    }
    if request.channels:  # what lacks some of them can only be interpolated
        members |= {name: own for name, own in channels.items() if not why_not_interpolated(own, wanted)}
    present = [key_of(own) for own in members.values()]
    common = tuple(name for name in wanted if all(plain(name) in own for own in present))
    if request.channels and common != wanted:
        common = ()
    if not common:
        members = {name: own for name, own in members.items() if not why_not_interpolated(own, wanted)}
    aliases = {key_of(one): alias_of(name_of(one)) for one in groups} | (
        {key_of(default): "champion"} if default else {}
    )
    left_out = {
        name: _why_left_out(own, wanted, aliases.get(key_of(group_by_name[name])))
        for name, own in channels.items()
        if name not in members
    }
    of_group = frozenset(name for name in channels if key_of(group_by_name[name]) == key_of(group))
    return Plan(group, wanted, common, of_group, left_out, frozenset(left_out) - of_group)


def _groups(registry: Registry) -> tuple[Channels | None, list[Channels]]:
    """Return the montage of the default champion and those of all groups that have a champion, the default first."""
    default = None
    if champion := registry.champion():
        with suppress(ArtifactError):  # it cannot serve either, so the next model replaces it
            default = Montage.of(registry.manifest(champion)).channels
    try:
        others = list(registry.other_groups().values())
    except ArtifactError:  # `p300 models` shows and mends it; without it, groups are named after their recordings
        others = []
    return default, [*([default] if default else []), *others]


def _group(
    request: TrainingRequest,
    default: Channels | None,
    channels: Mapping[str, Channels],
    group_by_name: Mapping[str, Channels],
) -> Channels:
    if request.recording is not None and request.recording in channels:
        return group_by_name[request.recording]
    if default and any(group_by_name[name] == default or not missing(own, default) for name, own in channels.items()):
        return default
    people: dict[Channels, set[str]] = defaultdict(set)
    for name, group in group_by_name.items():
        people[group].add(subject_of(name))
    return max(people, key=lambda group: (len(people[group]), len(group), name_of(group)))


def _wanted(group: Channels, channels: Mapping[str, Channels]) -> Channels:
    """Return the montage that most people of a group have: its own, if as many have it, or else that of most channels."""
    people: dict[frozenset[str], set[str]] = defaultdict(set)
    for name, own in channels.items():
        people[key_of(own)].add(subject_of(name))
    if not people:
        return group
    wanted = max(people, key=lambda own: (len(people[own]), own == key_of(group), len(own), name_of(own)))
    return group if wanted == key_of(group) else next(own for own in channels.values() if key_of(own) == wanted)


def _why_left_out(own: Channels, wanted: Channels, alias: str | None) -> str:
    way_out = (
        f"{alias} is the champion of its montage"
        if alias
        else f"`p300 train --channels {','.join(own)}` trains a model for it"
    )
    lacking = missing(own, wanted)
    return (
        f"its montage {name_of(own)} ({few_of(own)}) lacks {few_of(lacking)} of {name_of(wanted)} ({few_of(wanted)}), "
        f"{why_not_interpolated(own, wanted) or 'of another group'}; {way_out}"
    )


# ---- interpolate, or train on the common channels?
@dataclass(frozen=True)
class Way:
    """What a model is trained on.

    Attributes
    ----------
    recordings : Downloaded
        With the channels of the model.
    facts : dict
        ``used`` (``complete``, ``interpolated`` or ``common``) and, where two ways were compared on left-out people, both figures.
    left_out : dict of str to str
        Recordings that only the other way could use, and why they are left out.
    """

    recordings: Downloaded
    facts: dict[str, Any]
    left_out: dict[str, str]


def decide(ways: Mapping[str, Downloaded], kind: str, seed: int) -> Way:
    """Choose between interpolated and common channels by the AUC on left-out people that both ways can be judged by.

    Parameters
    ----------
    ways : mapping of str to Downloaded
        As `Plan.ways` names them.
    kind : str
        Kind of model that is compared.
    seed : int
        Of the model.
    """
    first, *others = ways
    if not others:
        return Way(ways[first], {"used": first}, {})
    with one_thread():
        auc = {way: _left_out_auc(recordings, kind, seed) for way, recordings in ways.items()}
    both = sorted(auc[INTERPOLATED].keys() & auc[COMMON].keys())
    figures = {way: _mean_over_people(auc[way], both, ways[COMMON].person_of) for way in (INTERPOLATED, COMMON)}
    # Of two that are as good, the one that uses more recordings, then the one that keeps more channels.
    rank = {way: (figures[way] or 0.0, len(ways[way].names)) for way in figures}
    used = INTERPOLATED if both and rank[INTERPOLATED] >= rank[COMMON] else COMMON
    rest = sorted(set(ways[COMMON].names) - set(ways[INTERPOLATED].names)) if used == INTERPOLATED else []
    told = ", ".join(f"{figures[way]:.3f} {way}" for way in figures if figures[way] is not None)
    reason = f"it lacks channels that cannot be interpolated, and a model on the common channels was worse on left-out people (AUC {told})"
    facts = {
        "used": used,
        "compared_with": kind,
        "auc_interpolated": figures[INTERPOLATED],
        "auc_common": figures[COMMON],
        "compared_on": len(both),
    }
    return Way(ways[used], facts, dict.fromkeys(rest, reason))


def _left_out_auc(recordings: Downloaded, kind: str, seed: int) -> dict[str, float]:
    from p300.comparison import left_out_auc

    return left_out_auc(recordings, kind, seed, recordings.features(recordings.names[0]).sfreq)


def _mean_over_people(auc: Mapping[str, float], recordings: list[str], person_of: Callable[[str], str]) -> float | None:
    by_person: dict[str, list[float]] = defaultdict(list)
    for name in recordings:
        by_person[person_of(name.partition("#")[0])].append(auc[name])
    return float(np.mean([np.mean(values) for values in by_person.values()])) if by_person else None
