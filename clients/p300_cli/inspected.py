"""Print what `p300 inspect` found, in at most 80 columns."""

import json
import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from p300.text import n_of
from rich.console import Console
from rich.table import Table

from p300_cli.terminal import escape, out

if TYPE_CHECKING:
    from p300.inspection import EventCount, Inspection, Usable
    from p300.readers.seen import SeenChannel

WIDTH = 80
MOST_EVENTS = 20
MOST_GAPS = 3


def show(found: "Sequence[Inspection]", console: Console = out) -> None:
    """Print each inspection; of several, what came of all at the end."""
    for one in found:
        _show_one(one, console)
    if len(found) > 1:
        refused = [one.name for one in found if one.refusal]
        told = f"{len(found)} recordings: {len(found) - len(refused)} can land"
        _lines(console, "", told + (f", {len(refused)} would be refused: {', '.join(refused)}" if refused else ""))


def _show_one(one: "Inspection", console: Console) -> None:
    console.print(f"[bold]{escape(one.name)}[/bold]", soft_wrap=True, highlight=False)
    length = "-" if one.seconds is None else f"{one.seconds:,.1f} s"
    rate = "-" if one.sfreq is None else f"{one.sfreq:g} Hz"
    facts = {
        "format": f"{one.format or '-'}, {_size(one.n_bytes)}"
        + (f", with {', '.join(one.files)}" if one.files else ""),
        "rate, length": f"{rate}, {length}",
        "sidecar": ", ".join(one.sidecar) or "says nothing" if one.sidecar is not None else "none",
        **_marks(one.usable or one.with_mapping),
        # Of a refused file, the refusal says what its unit is.
        **({"unit": f"read as {one.usable.unit}"} if one.usable and not any(c.unit for c in one.channels) else {}),
    }
    for name, text in facts.items():
        _lines(console, name, text)
    _show_channels(one.channels, console)
    _show_events(one.events, console)
    if one.usable:
        _lines(console, "would be", _in_words(one.usable))
        for text in one.usable.notes:
            _lines(console, "note", text)
    elif one.refusal:
        _lines(console, "refused", f"{one.refusal.code}: {one.refusal.message}")
        _show_way_out(one, console)
    console.print()


def _marks(usable: "Usable | None") -> dict[str, str]:
    if usable is None:
        return {}
    at = ", ".join(f"{second:,.1f} s" for second in usable.gaps_s[:MOST_GAPS])
    more = f" and {len(usable.gaps_s) - MOST_GAPS} more" if len(usable.gaps_s) > MOST_GAPS else ""
    gaps = f"{len(usable.gaps_s)}, at {at}{more}" if usable.gaps_s else "none"
    return {
        "gaps": gaps + (f"; {usable.n_bad_spans} spans marked bad" if usable.n_bad_spans else ""),
        **({"bad channels": ", ".join(usable.bad_channels)} if usable.bad_channels else {}),
    }


def _show_channels(channels: "Sequence[SeenChannel]", console: Console) -> None:
    if not channels:
        _lines(console, "channels", "none found")
        return
    for (kind, unit), group in groupby(channels, lambda channel: (channel.kind, channel.unit)):
        names = [channel.name for channel in group]
        _lines(console, "channels", f"{len(names)} {kind}{f' in {unit}' if unit else ''}: {', '.join(names)}")


def _show_events(events: "Sequence[EventCount]", console: Console) -> None:
    if not events:
        _lines(console, "events", "none found")
        return
    table = Table(box=None, pad_edge=False, header_style="dim", width=WIDTH)
    table.add_column("event", overflow="fold", ratio=1)
    table.add_column("count", justify="right")
    table.add_column("median interval", justify="right")
    for event in events[:MOST_EVENTS]:
        interval = "-" if event.interval_s is None else f"{event.interval_s:.3f} s"
        table.add_row(escape(event.name), f"{event.n:,}", interval)
    console.print(table)
    if len(events) > MOST_EVENTS:
        rest = events[MOST_EVENTS:]
        _lines(console, "", f"and {len(rest)} more names, {sum(event.n for event in rest):,} events")


def _show_way_out(one: "Inspection", console: Console) -> None:
    if not one.mapping:
        if one.still_refused:
            _lines(console, "and then", f"{one.still_refused.code}: {one.still_refused.message}")
        return
    told = (
        f"it would be {_in_words(one.with_mapping)}"
        if one.with_mapping
        else "this refusal is lifted and another follows"
    )
    _lines(console, "mapping", f"if this is what the file means, {told}:")
    console.print(escape(_pasted(one.mapping), keep="\n"), soft_wrap=True, highlight=False)
    if one.with_mapping:
        option = " --replace" if one.replaces_sidecar else ""
        _lines(console, "", f"save it as events.json, correct it, and: p300 land FILE --map events.json{option}")
    elif one.still_refused:
        _lines(console, "still refused", f"{one.still_refused.code}: {one.still_refused.message}")


def _in_words(usable: "Usable") -> str:
    groups = f" of {n_of(usable.n_groups, 'group')}" if usable.n_groups else ""
    pace = "" if usable.interval_s is None else f", {usable.interval_s:.3f} s apart"
    kept = "" if usable.n_kept is None else f"; {n_of(usable.n_kept, 'epoch')} kept"
    flashes = f"{usable.n_target:,} Target and {usable.n_non_target:,} NonTarget flashes"
    if usable.n_unlabelled:
        flashes = f"{n_of(usable.n_unlabelled, 'unlabelled flash')}"
    return f"{flashes}{groups}{pace}, {n_of(len(usable.channels), 'EEG channel')}{kept}"


def _pasted(mapping: dict[str, Any]) -> str:
    """Return a mapping as JSON, a field a line where it is short."""
    fields = [f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in mapping.items()]
    return "{\n" + ",\n".join(fields) + "\n}"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e5 else f"{n_bytes:,} bytes"


def _lines(console: Console, name: str, text: str) -> None:
    """Print a fact, its text beside its name."""
    wrapped = textwrap.wrap(text, WIDTH - 14, break_on_hyphens=False) or [""]
    for number, line in enumerate(wrapped):
        label = name if number == 0 else ""
        console.print(f"[dim]{label:<14}[/dim]{escape(line)}", soft_wrap=True, highlight=False)
