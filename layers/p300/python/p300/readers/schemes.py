"""Which codes of a stim column or channel are flashes: the plain ones, those declared, or those of a recognised data set."""

from collections.abc import Mapping

from p300.errors import RecordingError
from p300.recording import NON_TARGET, TARGET

from .brain_invaders import FLASH_CODES, OPENVIBE_CODES, PLAIN_CODES
from .declared import Declared
from .event_messages import CODES_EXPECTED, NAMES_EXPECTED, Events, counted, remedy

LARGEST_IGNORED = 0.2
"""Share of coded events that may be something else than 1 and 2: codes that count rows, columns or conditions contain both by chance."""
LARGEST_CLASS_LIKE = 0.5
"""Of the rarer class: another code that occurs more often may be a class of its own."""
FEWEST_OF_DATA_SET = 6
"""Different flash codes of a data set by which it is recognised."""


def scheme_of(
    counts: Mapping[int, int], found: Events, name: str, declared: Declared, data_set: str | None
) -> tuple[Mapping[int, tuple[int, int]], list[str]]:
    """Return the codes that are flashes, each with its class and group, and notes."""
    present = set(counts)
    given = {code: (label, 0) for code, label in declared.codes.items()}
    if given:
        if not present & set(given):
            raise RecordingError(
                "unknown_codes",
                f"{name}: no event has a code of event_id, {sorted(given)}. Found {counted(found)}. {remedy(found)}",
            )
        return given, _ignored(counts, given)
    if present & set(OPENVIBE_CODES):
        note = f"stim codes {sorted(OPENVIBE_CODES)} read as Brain Invaders flashes"
        return OPENVIBE_CODES, [note, *_ignored(counts, OPENVIBE_CODES)]
    as_flashes = {code: n for code, n in counts.items() if code in FLASH_CODES}
    recognised = len(as_flashes) >= FEWEST_OF_DATA_SET and {FLASH_CODES[code][0] for code in as_flashes} == {1, 2}
    if recognised or (data_set and as_flashes and not present & set(PLAIN_CODES)):
        ignored = sum(counts.values()) - sum(as_flashes.values())
        if data_set or ignored <= LARGEST_IGNORED * sum(counts.values()):
            note = f"stim codes {sorted(as_flashes)} read as Brain Invaders flashes"
            return FLASH_CODES, [note, *_ignored(counts, FLASH_CODES)]
    if not present & set(PLAIN_CODES):
        raise RecordingError(
            "unknown_codes",
            f"{name}: no event is known as a flash. Found {counted(found)}. Expected {NAMES_EXPECTED}, or {CODES_EXPECTED}. "
            f"{remedy(found)}",
        )
    others = [n for code, n in counts.items() if code not in PLAIN_CODES]
    rarer = min(counts.get(NON_TARGET, 0), counts.get(TARGET, 0))
    many = sum(others) > LARGEST_IGNORED * sum(counts.values())
    if rarer and not data_set and (many or max(others, default=0) > LARGEST_CLASS_LIKE * rarer):
        raise RecordingError(
            "unknown_codes",
            f"{name}: codes 1 and 2 are among others that may be stimuli too. Found {counted(found)}. Expected 1 (NonTarget) and 2 "
            "(Target). Where the numbers say which row or column flashed, keep them in a flash column, and write the class into stim. "
            f"{remedy(found)}",
        )
    return PLAIN_CODES, _ignored(counts, PLAIN_CODES)


def _ignored(counts: Mapping[int, int], scheme: Mapping[int, object]) -> list[str]:
    ignored = {str(code): n for code, n in counts.items() if code not in scheme}
    return [f"stim codes ignored: {counted(ignored)}"] if ignored else []
