"""Spoils the files of recording software: BCI2000's text header, and what else has a structure of its own."""

import random
import re
import struct

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
            found = re.search(rf"{key}= *\S*", header)
            header = header.replace(found[0], f"{key}= {value}", 1) if found else header
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


LINE_CELLS = (
    "", "nan", "-inf", "1e308", "0x10", "1,5", "1.5.2", "Target", "NonTarget", "2", "0", "255", "-1", "23:59:59.999", "00:00:00.000",
    "2024-02-30 12:00:00.5", "31.12.2024 23:59:59,5", "25:61:61", "/Marker/1", "/Marker/99999999999", "/muse/elements/blink", "'", '"',
    "9" * 400, "e", "µV", "\u2028", "1970-01-01", "EXG Channel 0", "Sample Index", "Timestamp", "RAW_TP9", "TimeStamp", "trigger",
)  # fmt: skip
LINE_HEADS = (
    "%Sample Rate = 0 Hz", "%Sample Rate = 1e9 Hz", "%Sample Rate = . Hz", "%Number of channels = 0", "%Number of channels = 2.5",
    "%Number of channels = 999999999", "%", "#", "# sfreq=0", "# sfreq=nan unit=K", "# unit=V", "",
)  # fmt: skip


def lines(rng: random.Random, files: Files) -> Files:
    """Change cells, columns, rows and lines before them of a text file of samples."""
    (name, data), *beside = files.items()
    rows = data.decode().split("\n")
    begin = next(number for number, row in enumerate(rows) if not row.startswith(("%", "#")))
    delimiter = max(",;\t ", key=rows[begin].count)
    for _ in range(rng.randint(1, 4)):
        kind = rng.randrange(10)
        at = rng.choice((begin, begin + 1, rng.randrange(len(rows))))
        at = min(at, len(rows) - 1)
        cells = rows[at].split(delimiter)
        which = rng.randrange(len(cells))
        if kind <= 2:
            cells[which] = rng.choice((*LINE_CELLS, *NUMBERS, *NAMES))
            rows[at] = delimiter.join(cells)
        elif kind == 3:  # a column, from somewhere on
            value, start = rng.choice((*LINE_CELLS, *NUMBERS)), rng.choice((begin + 1, at))
            rows[start:] = [_with_cell(row, delimiter, which, value) for row in rows[start:]]
        elif kind == 4:
            rows.insert(
                rng.choice((0, begin, at)),
                rng.choice((*LINE_HEADS, "", rows[at], delimiter * rng.choice((1, 50, 5000)))),
            )
        elif kind == 5:
            del rows[at : at + rng.choice((1, 1, 2, 64, 600))]
            rows = rows or [""]
        elif kind == 6:
            rows[at] = text(rng, rows[at], rng.randint(1, 3))
        elif kind == 7:  # rows in another order
            end = min(len(rows), at + rng.choice((2, 10, 300)))
            rows[at:end] = rows[at:end][::-1]
        elif kind == 8:
            rows[begin] = text(rng, rows[begin], rng.randint(1, 4))
        else:
            rows = [row.replace(delimiter, rng.choice((",", ";", "\t", " ", "  "))) for row in rows]
        begin = min(begin, len(rows) - 1)
    body = (
        rng.choice(("\n", "\n", "\n", "\r\n", "\r"))
        .join(rows)
        .encode(rng.choice(("utf-8", "utf-8", "latin-1")), "replace")
    )
    kind = rng.randrange(20)
    if kind == 0:
        body = havoc(rng, body, rng.randint(1, 5))
    elif kind == 1:
        body = rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b'"', b"%", b"\n" * 50, b"%OpenBCI\n")) + body
    elif kind == 2:
        body = body[: rng.randrange(len(body) + 1)]
    elif kind == 3:
        body += rng.choice((b"," * 200_000, b"1" * 500_000, b'"' + b"x" * 100_000, b"\n" * 100_000, b" " * 3_000_000))
    return {name: body, **dict(beside)}


def _with_cell(row: str, delimiter: str, which: int, value: str) -> str:
    cells = row.split(delimiter)
    if which < len(cells):
        cells[which] = value
    return delimiter.join(cells)


XDF_WORDS = (
    b"<channel_count>3", b"<channel_count>1", b"<nominal_srate>256", b"<nominal_srate>0", b"float32", b"string", b"<type>EEG", b"Markers",
    b"<label>Fz", b"microvolts", b"<sample_count>", b"Target", b"NonTarget", b"<desc>",
)  # fmt: skip


def xdf(rng: random.Random, files: Files) -> Files:
    """Change chunks: what they are, how long, in which order, and what they say."""
    data = files[f"{NAME}.xdf"]
    chunks, at = [], 4
    while at < len(data):
        width = data[at]
        length = int.from_bytes(data[at + 1 : at + 1 + width], "little")
        chunks.append(data[at + 1 + width : at + 1 + width + length])
        at += 1 + width + length
    for _ in range(rng.choice((1, 1, 2))):
        kind, which = rng.randrange(8), rng.randrange(len(chunks))
        chunk = chunks[which]
        if kind == 0:
            chunks[which] = havoc(rng, chunk, rng.randint(1, 3))
        elif kind == 1:  # what kind of chunk it is, of which stream
            number = rng.choice((0, 1, 2, 3, 4, 5, 6, *INTERESTING)) & 0xFFFF
            chunks[which] = (
                number.to_bytes(2, "little") + chunk[2:]
                if rng.random() < 0.5
                else chunk[:2] + havoc(rng, chunk[2:6], 1) + chunk[6:]
            )
        elif kind == 2:
            chunks.insert(rng.randrange(len(chunks)), chunk)
        elif kind == 3:
            del chunks[which]
        elif kind <= 5:  # of a header or footer
            word = rng.choice(XDF_WORDS)
            value = rng.choice(
                (*NUMBERS, *NAMES, "string", "int64", "double64", "256", "stim", "</info>", "<!DOCTYPE a>", "&a;")
            )
            tag = word[: word.find(b">") + 1]
            chunks = [one.replace(word, tag + value.encode(errors="replace"), rng.choice((1, 9))) for one in chunks]
        elif kind == 6:  # time stamps, lengths of texts, clock offsets
            chunks[which] = havoc(rng, chunk, rng.randint(1, 4), 6, 40)
        else:
            other = rng.randrange(len(chunks))
            chunks[which], chunks[other] = chunks[other], chunk
        chunks = chunks or [chunk]
    body = b"XDF:"
    for chunk in chunks:
        length = len(chunk) if rng.random() < 0.995 else rng.choice(INTERESTING)
        width = rng.choice((4, 8)) if length < 1 << 32 else 8
        body += bytes([width]) + length.to_bytes(width, "little")[:width] + chunk
    return {f"{NAME}.xdf": body if rng.random() < 0.95 else havoc(rng, body, 3)}


GDF_FIELDS = (0, 4, 184, 188, 236, 240, 244, 248, 252, 254)
"""Version, bytes of the header, records, their length, channels."""
GDF_CHANNELS, GDF_COLUMNS = 3, (0, 16, 96, 102, 104, 112, 120, 128, 136, 216, 220, 224)
"""Where each property of the channels begins, for one channel."""


def gdf(rng: random.Random, files: Files) -> Files:
    """Change fields of the header, of each channel, and the table of events."""
    data = files[f"{NAME}.gdf"]
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(6)
        if kind <= 1:
            at = rng.choice(GDF_FIELDS)
        elif kind <= 3:
            at = 256 + GDF_CHANNELS * rng.choice(GDF_COLUMNS) + rng.choice((0, 2, 4, 8, 16))
        elif kind == 4:  # the table of events lies at the end
            data = havoc(rng, data, 1, max(0, len(data) - rng.choice((8, 700, 900, 1200))))
            continue
        else:
            data = havoc(rng, data, rng.randint(1, 3)) if rng.random() < 0.8 else data[: rng.randrange(len(data) + 1)]
            continue
        size = rng.choice((1, 2, 4, 8))
        word = (rng.choice(INTERESTING) & (1 << 8 * size) - 1).to_bytes(size, "little")
        if rng.random() < 0.2:
            word = rng.choice(
                (b"1.25", b"2.51", b"nan ", struct.pack("<d", rng.choice((1e-9, 0.1, 1e300, float("nan")))))
            )
        data = data[:at] + word + data[at + len(word) :]
    return {f"{NAME}.gdf": data}


CNT_FIELDS = (0, 225, 370, 376, 438, 864, 869, 886, 890, 894)
"""Version, date, channels, rate, filters, samples, cut-offs, place of the events, seconds, blocks."""
CNT_CHANNEL_FIELDS = (0, 4, 14, 19, 23, 47, 59, 71)


def cnt(rng: random.Random, files: Files) -> Files:
    """Change fields of the header and of each electrode, the table of events and its head."""
    ((name, data),) = files.items()
    table = int.from_bytes(data[886:890], "little")
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(8)
        if kind <= 1:
            at = rng.choice(CNT_FIELDS)
        elif kind <= 3:
            at = 900 + 75 * rng.randrange(3) + rng.choice(CNT_CHANNEL_FIELDS)
        elif kind == 4:
            at = table + rng.choice((0, 1, 5))
        elif kind == 5:
            data = havoc(rng, data, rng.randint(1, 4), min(table, max(0, len(data) - 1)))
            continue
        elif kind == 6:
            data = havoc(rng, data, rng.randint(1, 3), 0, 1125)
            continue
        else:
            data = data[: rng.randrange(len(data) + 1)]
            continue
        size = rng.choice((1, 2, 4))
        word = (rng.choice(INTERESTING) & (1 << 8 * size) - 1).to_bytes(size, "little")
        if rng.random() < 0.3:
            word = rng.choice((
                b"99/99/99", b"RIFF", b"\xff", struct.pack("<f", rng.choice((0.0, 1e-30, 1e30, float("nan"), float("inf"), -204.8))),
                struct.pack("<i", rng.choice((table, table - 4, table + 9, 1 << 30))), struct.pack("<H", rng.choice((0, 1, 2, 4, 300))),
            ))  # fmt: skip
        data = data[:at] + word + data[at + len(word) :]
    return {name: data}


HDF5_WORDS = (b"TREE", b"HEAP", b"SNOD", b"OHDR", b"MATLAB_class", b"samples", b"Samples", b"char", b"double")


def hdf5(rng: random.Random, files: Files) -> Files:
    """Change the library's own structures, which lie between the values, and the values and texts themselves."""
    ((name, data),) = files.items()
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind = rng.randrange(6)
        places = [found.start() for word in HDF5_WORDS for found in re.finditer(word, data)]
        near = (rng.choice(places) if places else 0) + rng.randrange(-32, 96)
        at = max(0, min(near if kind <= 3 else rng.randrange(len(data)), len(data) - 8))
        if kind <= 2:
            size = rng.choice((1, 2, 4, 8))
            data = (
                data[:at] + (rng.choice(INTERESTING) & (1 << 8 * size) - 1).to_bytes(size, "little") + data[at + size :]
            )
        elif kind == 3:  # an address of something else
            data = data[:at] + rng.randrange(0, len(data), 8).to_bytes(8, "little") + data[at + 8 :]
        else:
            data = havoc(rng, data, 1, at, at + 200)
    return {name: data}
