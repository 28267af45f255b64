"""Whose a recording is by its content: the same epochs under several names are trained on once, and show that subjects are one person."""

from collections.abc import Collection, Iterable, Mapping

from p300.likeness import Sketch, alike

from p300_pipeline.feature_store import subject_of


class People:
    """Subjects, and recordings that say that some of them are one person.

    Parameters
    ----------
    sketches : mapping of str to Sketch
        By recording: those that may be trained on, and those of held-out subjects.
    held_out : collection of str
        Subjects held out by request.
    """

    def __init__(self, sketches: Mapping[str, Sketch], held_out: Collection[str]) -> None:
        pairs = list(alike(sketches))
        self._n_epochs = {name: len(one.epochs) for name, one in sketches.items()}
        self._held_out = held_out
        self._copies = _groups(pairs)
        self._persons = _groups((subject_of(one), subject_of(other)) for one, other in pairs)

    def person_of(self, recording: str) -> str:
        """Return the subject under whose name one person's recordings are left out together."""
        return min(self._person(subject_of(recording)))

    def merged(self) -> list[list[str]]:
        """Return the subjects that are one person, where they are several."""
        found = {frozenset(self._person(subject)) for subject in self._persons}
        return sorted(sorted(person) for person in found if len(person) > 1)

    def unfit(self, recordings: Iterable[str]) -> dict[str, str]:
        """Say which recordings are not to be trained on, and why: copies, and recordings of a person who is held out."""
        reasons = {}
        for name in recordings:
            kept = min(self._copies.get(name, {name}), key=self._rank)
            held_out = sorted(self._person(subject_of(name)) & set(self._held_out))
            if held_out and kept != name:
                reasons[name] = f"holds the same epochs as {kept}, and {held_out[0]} is held out"
            elif held_out:
                reasons[name] = f"{subject_of(name)} has a recording in common with {held_out[0]}, who is held out"
            elif kept != name:
                reasons[name] = f"holds the same epochs as {kept}, which is trained on: they count once"
        return reasons

    def _rank(self, name: str) -> tuple[bool, int, str]:
        """Say which of several copies is kept, as the least: a held-out subject's, the longest, the first by name."""
        return subject_of(name) not in self._held_out, -self._n_epochs[name], name

    def _person(self, subject: str) -> set[str]:
        return self._persons.get(subject, {subject})


def _groups(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Return, for each of those in pairs, all that it is connected with."""
    groups: dict[str, set[str]] = {}
    for one, other in pairs:
        merged = groups.get(one, {one}) | groups.get(other, {other})
        groups |= dict.fromkeys(merged, merged)
    return groups
