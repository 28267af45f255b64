"""Bytes, text and JSON, spoiled in ways that parsers have died of."""

import copy
import json
import random
import re
import struct
from typing import Any

INTERESTING = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 5 * 10**9,
               0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip
NUMBERS = ("0", "-0", "1", "-1", "1e-300", "1e300", "1e999", "-1e999", "nan", "inf", "-inf", "NaN", "0x10", "1_000", "1,5", "٣",
           "2147483648", "-2147483649", "4294967296", "5000000000", "9223372036854775808", "0.0001",
           "1" * 400, "", " ", "+", "--1")  # fmt: skip
NAMES = ("", " ", "..", "../../../etc/passwd", "/etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin", "a\0b", "\u202e", "é" * 200,
         "x" * 5000, "<script>alert(1)</script>", "'; DROP TABLE", "${jndi:ldap://x}", "%s%n", "{}", "{0.__class__}", "CON", "stim", "eeg_",
         "eeg_Fz", "NaN", "\ud7ff", "\U0001f9e0", "file:///etc/passwd", "http://127.0.0.1:9/x",
         "s3://p300-models/x", "|id", "`id`")  # fmt: skip


def havoc(rng: random.Random, data: bytes, n_changes: int, start: int = 0, stop: int | None = None) -> bytes:
    """Change bytes, words and pieces of `data` between `start` and `stop`."""
    spoiled = bytearray(data)
    for _ in range(n_changes):
        low, high = start, min(len(spoiled), len(spoiled) if stop is None else stop)
        if high <= low:
            break
        at = rng.randrange(low, high)
        kind = rng.randrange(9)
        if kind == 0:
            spoiled[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            spoiled[at] = rng.choice(INTERESTING) & 0xFF
        elif kind <= 3:
            size = rng.choice((2, 4, 8))
            word = (rng.choice(INTERESTING) & (1 << 8 * size) - 1).to_bytes(size, rng.choice(("little", "big")))
            spoiled[at : at + size] = word
        elif kind == 4:
            spoiled[at : at + 8] = struct.pack(
                "<d", rng.choice((float("nan"), float("inf"), -1e308, 1e308, 5e-324, -0.0, 5e9))
            )
        elif kind == 5:
            del spoiled[at : at + rng.choice((1, 2, 8, 64, 1024))]
        elif kind == 6:
            piece = spoiled[at : at + rng.choice((1, 4, 16, 256))]
            spoiled[at:at] = piece * rng.choice((1, 2, 50))
        elif kind == 7:
            spoiled[at:at] = rng.randbytes(rng.choice((1, 3, 16)))
        else:
            other = rng.randrange(low, high)
            size = rng.choice((4, 16, 64))
            spoiled[at : at + size], spoiled[other : other + size] = (
                spoiled[other : other + size],
                spoiled[at : at + size],
            )
    if rng.random() < 0.1:
        del spoiled[rng.randrange(len(spoiled) + 1) :]
    return bytes(spoiled)


def text(rng: random.Random, content: str, n_changes: int) -> str:
    """Replace tokens of `content`: numbers by hostile numbers, names by hostile names, lines by others."""
    for _ in range(n_changes):
        kind = rng.randrange(6)
        if kind == 5:
            lines = content.splitlines(keepends=True)
            if lines:
                at = rng.randrange(len(lines))
                lines[at : at + 1] = rng.choice(([], [lines[at]] * 3, [rng.choice(lines)], [lines[at].strip()], ["\n"]))
            content = "".join(lines)
            continue
        tokens = list(re.finditer(r"-?\d+(?:\.\d+)?" if kind <= 2 else r"[A-Za-z_]\w*|[,;=\[\]\"]", content))
        if tokens:
            token = rng.choice(tokens[: 60 if rng.random() < 0.5 else None])
            replacement = rng.choice(NUMBERS) if kind <= 2 else rng.choice((*NAMES, *NUMBERS, ",", "=", '"', "\t", ";"))
            content = content[: token.start()] + replacement + content[token.end() :]
    return content


def json_value(rng: random.Random) -> Any:
    """Return something that JSON can say and nobody expects."""
    return rng.choice((
        None, True, False, 0, -1, 10**30, 5 * 10**9, 1e308, float("nan"), float("inf"), "", [], {}, [[]], [None], {"": None},
        [0] * 5000, "x" * 10_000, *NAMES, {"a": {"b": {"c": []}}}, [1, "a", None],
    ))  # fmt: skip


def json_bytes(rng: random.Random, document: Any, n_changes: int) -> bytes:
    """Change values, names and the nesting of a JSON document, and now and then its text."""
    holder = [copy.deepcopy(document)]
    for _ in range(n_changes):
        place: Any = holder
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                key: Any = "x" if isinstance(place, dict) else None
                break
            key = rng.choice(keys)
            if not isinstance(place[key], dict | list) or rng.random() < 0.3:
                break
            place = place[key]
        if key is None:
            place.append(json_value(rng))
        elif isinstance(place, dict) and rng.random() < 0.3:
            value = place.pop(key, None)
            if rng.random() < 0.5:
                place[rng.choice(NAMES)] = value
        else:
            place[key] = json_value(rng)
    body = json.dumps(holder[0], ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    kind = rng.random()
    if kind < 0.15:
        return havoc(rng, body, rng.randint(1, 4))
    if kind < 0.18:
        depth = rng.choice((100, 1000, 100_000))
        return (b"[" if rng.random() < 0.5 else b'{"a":') * depth + body
    if kind < 0.2:
        return rng.choice(
            (
                b"",
                b"\xff\xfe" + body,
                b"\xef\xbb\xbf" + body,
                b"1" * 5000,
                body.decode(errors="replace").encode("utf-16"),
                b"\0",
            )
        )
    return body
