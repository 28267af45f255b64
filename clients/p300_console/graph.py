"""Draw a state machine's definition: states in layers from top to bottom, transitions between them, Maps as boxes around their states.

The usual steps of layered drawing (Sugiyama, Tagawa, Toda 1981, Methods for visual understanding of hierarchical system structures, IEEE
Trans. Syst. Man Cybern. 11:109-125): break cycles, assign layers, order each layer for few crossings, then find coordinates. Long
transitions to the same state share their course, so that a state to which many errors lead is reached by one line.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

LINE_CHARACTERS = 24
CHARACTER_PX, LINE_PX = 7.0, 16.0
PAD_PX, GAP_PX, LAYER_GAP_PX = 14.0, 26.0, 34.0
BEND_WIDTH_PX = 10.0
BOX_TITLE_PX = 30.0
_SWEEPS = 12

CATCH, NEXT = "catch", "next"
Name = str


@dataclass(frozen=True)
class Transition:
    """A transition between two states."""

    source: Name
    target: Name
    kind: str = NEXT


@dataclass
class Node:
    """A state and its position.

    Attributes
    ----------
    lines : list of str
        Its name, broken into lines.
    x, y : float
        Upper left corner in pixels.
    box : bool
        Whether it contains other states.
    """

    name: Name
    kind: str
    lines: list[str]
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    box: bool = False

    @property
    def middle(self) -> float:
        """Horizontal centre."""
        return self.x + self.width / 2


@dataclass(frozen=True)
class Line:
    """A piece of a drawn transition; `transitions` are the transitions that share it."""

    path: str
    kind: str
    arrow: bool
    transitions: frozenset[tuple[Name, Name]]


@dataclass
class Drawing:
    """A whole machine."""

    width: float
    height: float
    nodes: list[Node] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def moved(self, dx: float, dy: float) -> "Drawing":
        """Return the same drawing at another position."""
        nodes = [replace(node, x=node.x + dx, y=node.y + dy) for node in self.nodes]
        return Drawing(
            self.width, self.height, nodes, [replace(line, path=_shift(line.path, dx, dy)) for line in self.lines]
        )


def transitions(states: dict[str, Any]) -> list[Transition]:
    """Return the transitions of one level of a definition, each once, in the definition's order."""
    found: dict[tuple[str, str], Transition] = {}

    def add(source: str, target: Any, kind: str) -> None:
        if isinstance(target, str) and target in states and target != source:
            found.setdefault((source, target), Transition(source, target, kind))

    for name, state in states.items():
        add(name, state.get("Next"), NEXT)
        for choice in state.get("Choices", []):
            add(name, choice.get("Next"), NEXT)
        add(name, state.get("Default"), NEXT)
        for catcher in state.get("Catch", []):
            add(name, catcher.get("Next"), CATCH)
    return list(found.values())


def inner(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the state machines inside a state: that of a Map, or the branches of a Parallel."""
    if state.get("Type") == "Map":
        return [machine] if (machine := state.get("ItemProcessor") or state.get("Iterator")) else []
    return list(state.get("Branches", []))


def all_states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every state of a definition with its name, including those inside Maps and branches."""
    for name, state in machine.get("States", {}).items():
        yield name, state
        for part in inner(state):
            yield from all_states(part)


def draw(machine: dict[str, Any]) -> Drawing:
    """Return the drawing of a definition.

    Parameters
    ----------
    machine : dict
        Amazon States Language: ``StartAt`` and ``States``.
    """
    states = machine.get("States", {})
    inside: dict[Name, list[Drawing]] = {}
    nodes: dict[Name, Node] = {}
    for name, state in states.items():
        inside[name] = [draw(part) for part in inner(state)]
        nodes[name] = _node(name, state.get("Type", ""), inside[name])
    if not nodes:
        return Drawing(0, 0)
    drawing = _lay_out(nodes, transitions(states), machine.get("StartAt", ""))
    places = {node.name: (node.x, node.y) for node in drawing.nodes}
    for name, parts in inside.items():
        dx, dy = places[name][0] + PAD_PX, places[name][1] + BOX_TITLE_PX
        for part in parts:
            placed = part.moved(dx, dy)
            drawing.nodes += placed.nodes
            drawing.lines += placed.lines
            dx += part.width + GAP_PX
    return drawing


def _node(name: Name, kind: str, parts: Sequence[Drawing]) -> Node:
    lines = _broken(name)
    width = max(len(line) for line in lines) * CHARACTER_PX + 2 * PAD_PX + 18
    if not parts:
        return Node(name, kind, lines, max(width, 110), len(lines) * LINE_PX + 20)
    inner_width = sum(part.width for part in parts) + GAP_PX * (len(parts) - 1) + 2 * PAD_PX
    height = max(part.height for part in parts) + BOX_TITLE_PX + PAD_PX
    return Node(name, kind, [name], max(width, inner_width), height, box=True)


def _broken(name: str) -> list[str]:
    lines = [""]
    for word in name.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > LINE_CHARACTERS:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return [line if len(line) <= 2 * LINE_CHARACTERS else line[: 2 * LINE_CHARACTERS - 1] + "…" for line in lines]


# ---- layers
# Layers hold states, by name, and bends, where a long transition crosses the layer: ("target", kind, layer).
Spot = Name | tuple[Name, str, int]


def _lay_out(nodes: dict[Name, Node], found: Sequence[Transition], start: Name) -> Drawing:
    backwards = _backwards(nodes, found, start)
    forward = [Transition(w.target, w.source, w.kind) if w in backwards else w for w in found]
    layer = _layers(nodes, forward)
    pieces: dict[tuple[Spot, Spot], set[Transition]] = defaultdict(set)
    chains = {}
    for transition, drawn in zip(found, forward, strict=True):
        chains[transition] = _chain(drawn, layer)
        for piece in pairwise(chains[transition]):
            pieces[piece].add(transition)
    rows = _ordered(nodes, layer, pieces)
    width = {spot: nodes[spot].width if isinstance(spot, str) else BEND_WIDTH_PX for row in rows for spot in row}
    x = _across(rows, list(pieces), width)
    top = 0.0
    heights = []
    for row in rows:
        height = max(nodes[spot].height for spot in row if isinstance(spot, str))
        heights.append((top, height))
        top += height + LAYER_GAP_PX
    for name, node in nodes.items():
        y, height = heights[layer[name]]
        node.x, node.y = x[name] - node.width / 2, y + (0 if node.box else (height - node.height) / 2)
    lines = []
    for (a, b), sharing in pieces.items():
        ends = {spot: heights[layer[spot] if isinstance(spot, str) else spot[2]] for spot in (a, b)}
        from_y = nodes[a].y + nodes[a].height if isinstance(a, str) else ends[a][0] + ends[a][1]
        to_y = nodes[b].y if isinstance(b, str) else ends[b][0]
        kind = NEXT if any(transition.kind == NEXT for transition in sharing) else CATCH
        back = sharing <= backwards
        begin, end = ((x[b], to_y), (x[a], from_y)) if back else ((x[a], from_y), (x[b], to_y))
        path = _curve(*begin, *end)
        if not isinstance(b, str):  # straight through the layer
            bottom = f"{x[b]:.1f} {ends[b][0] + ends[b][1]:.1f}"
            path = f"M {bottom} L{path.removeprefix('M')}" if back else f"{path} L {bottom}"
        arrow = isinstance(a, str) if back else isinstance(b, str)
        lines.append(
            Line(path, kind, arrow, frozenset((transition.source, transition.target) for transition in sharing))
        )
    left = min(x[spot] - width[spot] / 2 for spot in x)
    right = max(x[spot] + width[spot] / 2 for spot in x)
    return Drawing(right - left, top - LAYER_GAP_PX, list(nodes.values()), lines).moved(-left, 0)


def _backwards(nodes: Iterable[Name], found: Sequence[Transition], start: Name) -> set[Transition]:
    """Return the transitions that close a cycle."""
    out = defaultdict(list)
    for transition in found:
        out[transition.source].append(transition)
    done: set[Name] = set()
    back: set[Transition] = set()
    for root in (start, *nodes):
        if root in done or root not in nodes:
            continue
        open_: list[tuple[Name, Iterator[Transition]]] = [(root, iter(out[root]))]
        on_way = {root}
        while open_:
            name, rest = open_[-1]
            if (onward := next(rest, None)) is None:
                open_.pop()
                on_way.discard(name)
                done.add(name)
            elif onward.target in on_way:
                back.add(onward)
            elif onward.target not in done:
                on_way.add(onward.target)
                open_.append((onward.target, iter(out[onward.target])))
    return back


def _layers(nodes: Iterable[Name], forward: Sequence[Transition]) -> dict[Name, int]:
    layer = dict.fromkeys(nodes, 0)
    for _ in layer:  # at most as many passes as the longest path has states
        moved = False
        for transition in forward:
            if layer[transition.target] <= layer[transition.source]:
                layer[transition.target] = layer[transition.source] + 1
                moved = True
        if not moved:
            break
    return layer


def _chain(transition: Transition, layer: dict[Name, int]) -> list[Spot]:
    first, last = layer[transition.source], layer[transition.target]
    return [
        transition.source,
        *((transition.target, transition.kind, at) for at in range(first + 1, last)),
        transition.target,
    ]


def _ordered(nodes: Iterable[Name], layer: dict[Name, int], pieces: Iterable[tuple[Spot, Spot]]) -> list[list[Spot]]:
    rows: list[list[Spot]] = [[] for _ in range(max(layer.values()) + 1)]
    for name in nodes:
        rows[layer[name]].append(name)
    up, down = defaultdict(list), defaultdict(list)
    for a, b in pieces:
        up[b].append(a)
        down[a].append(b)
        for spot in (a, b):
            if not isinstance(spot, str) and spot not in rows[spot[2]]:
                rows[spot[2]].append(spot)
    best, fewest = [list(row) for row in rows], _crossings(rows, down)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        neighbours = up if downwards else down
        for row, other in _neighbouring(rows, downwards=downwards):
            place = {spot: number for number, spot in enumerate(other)}
            own = {spot: number for number, spot in enumerate(row)}

            def barycentre(
                spot: Spot, place: dict[Spot, int] = place, own: dict[Spot, int] = own, near: Any = neighbours
            ) -> float:
                at = [place[one] for one in near[spot] if one in place]
                return sum(at) / len(at) if at else own[spot]

            row.sort(key=barycentre)
        crossings = _crossings(rows, down)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _neighbouring(rows: list[list[Spot]], *, downwards: bool) -> Iterator[tuple[list[Spot], list[Spot]]]:
    numbers = range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1)
    for number in numbers:
        yield rows[number], rows[number - 1 if downwards else number + 1]


def _crossings(rows: Sequence[Sequence[Spot]], down: dict[Spot, list[Spot]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {spot: number for number, spot in enumerate(lower)}
        ends = [place[target] for spot in upper for target in sorted(down[spot], key=lambda one: place.get(one, 0))]
        total += sum(a > b for number, a in enumerate(ends) for b in ends[number + 1 :])
    return total


# ---- coordinates
def _across(
    rows: Sequence[Sequence[Spot]], pieces: Sequence[tuple[Spot, Spot]], width: dict[Spot, float]
) -> dict[Spot, float]:
    """Return horizontal centres, found by repeatedly moving each row as close to its neighbours as its order and widths allow."""
    near: dict[Spot, list[tuple[Spot, float]]] = defaultdict(list)
    for a, b in pieces:
        # The eye first notices a long transition that wavers; where states join it matters little.
        bends = (not isinstance(a, str)) + (not isinstance(b, str))
        pull = (1.0, 0.3, 8.0)[bends]
        near[a].append((b, pull))
        near[b].append((a, pull))
    x: dict[Spot, float] = {}
    for row in rows:
        at = 0.0
        for spot in row:
            x[spot] = at + width[spot] / 2
            at += width[spot] + GAP_PX
        for spot in row:
            x[spot] -= (at - GAP_PX) / 2
    for sweep in range(2 * _SWEEPS):
        for row in rows if sweep % 2 == 0 else list(reversed(rows)):
            wished, weight = [], []
            for spot in row:
                pulls = near[spot]
                total = sum(pull for _, pull in pulls) or 1.0
                wished.append(sum(x[one] * pull for one, pull in pulls) / total if pulls else x[spot])
                weight.append(total)
            x.update(zip(row, _spaced(wished, weight, [width[spot] for spot in row]), strict=True))
    return x


def _spaced(wished: Sequence[float], weight: Sequence[float], width: Sequence[float]) -> list[float]:
    """Return the positions closest to the desired ones that keep order and distance (pool adjacent violators)."""
    offsets = [0.0]
    for a, b in pairwise(width):
        offsets.append(offsets[-1] + (a + b) / 2 + GAP_PX)
    pools: list[list[float]] = []  # mean, weight, members
    for place, w, offset in zip(wished, weight, offsets, strict=True):
        pools.append([place - offset, w, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, w2, n = pools.pop()
            held = pools[-1]
            held[0] = (held[0] * held[1] + mean * w2) / (held[1] + w2)
            held[1] += w2
            held[2] += n
    places = [mean for mean, _, n in pools for _ in range(int(n))]
    return [place + offset for place, offset in zip(places, offsets, strict=True)]


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    bend = (y2 - y1) / 2
    return f"M {x1:.1f} {y1:.1f} C {x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"


def _shift(path: str, dx: float, dy: float) -> str:
    words, horizontal = [], True
    for word in path.split():
        if word.isalpha():
            words.append(word)
            continue
        words.append(f"{float(word) + (dx if horizontal else dy):.1f}")
        horizontal = not horizontal
    return " ".join(words)
