"""Spoils the files of recording software: BCI2000's text header, and what else has a structure of its own."""

import random
import re

from tests.fuzz.corpus import NAME, Files
from tests.fuzz.mutation import INTERESTING, NAMES, NUMBERS, havoc, text

BCI2000_VALUES = (
    "3 0.01 0 0.01", "3 0.01nan 1e999 1", "{ a b } 3", "999999 999999 A", "{", "36 3", "2000000000", "0", "%", "%00", "%ff%fe", "1 0 6",
    "1 999 6", "3 Fz Fz Fz", "3 Status Time Trigger", "%20", "256Hz", "0Hz", "1e-300", "1e300", "int32", "float64",
)  # fmt: skip


def bci2000(rng: random.Random, files: Files) -> Files:
    """Change values of the header, bits and places of states, and the samples."""
    data = files[f"{NAME}.dat"]
    end = int(re.search(rb"HeaderLen= *(\d+)", data)[1])  # type: ignore[index]
    header, body = data[:end].decode("latin-1"), data[end:]
    kind = rng.randrange(7)
    if kind <= 1:
        lines = header.split("\r\n")
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(lines))
            left, equals, right = lines[at].partition("= ")
            value = rng.choice((*BCI2000_VALUES, *NUMBERS, *NAMES))
            if equals:
                words = right.split()
                lines[at] = f"{left}= {value if rng.random() < 0.6 or not words else ' '.join([value, *words[1:]])}"
            elif words := lines[at].split():
                words[rng.randrange(len(words))] = value
                lines[at] = " ".join(words)
        header = "\r\n".join(lines)
    elif kind == 2:
        for key in rng.sample(("HeaderLen", "SourceCh", "StatevectorLen", "DataFormat", "BCI2000V"), rng.randint(1, 3)):
            value = rng.choice((*NUMBERS, *map(str, INTERESTING), "int32", "float32", "int16"))
            header = re.sub(rf"{key}= *\S*", lambda _, k=key, v=value: f"{k}= {v}", header, count=1)
    elif kind == 3:
        header = text(rng, header, rng.randint(1, 4))
    elif kind == 4:
        body = havoc(rng, body, rng.randint(1, 8)) if rng.random() < 0.7 else body[: rng.randrange(len(body))]
    else:
        spoiled = bytearray(body)
        for _ in range(rng.randint(1, 200)):  # states, wherever they are
            spoiled[rng.randrange(len(spoiled))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
        body = bytes(spoiled)
    if rng.random() < 0.7 and kind not in (2, 4):  # samples that are where the header says they are
        header = re.sub(
            r"HeaderLen= *\d+", f"HeaderLen= {len(header.encode('latin-1', 'replace')):5d}", header, count=1
        )
    return {f"{NAME}.dat": header.encode("latin-1", "replace") + body}
