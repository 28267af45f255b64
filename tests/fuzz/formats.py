"""Spoils what bytes mean: a format's own fields, sizes and structure, so that parsers get past their first check."""

import io
import random
import re
import struct
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz import corpus, recorders
from tests.fuzz.corpus import NAME, Files
from tests.fuzz.mutation import INTERESTING, NAMES, NUMBERS, havoc, text
from tests.support.readers import N_SAMPLES, eeg_uv

N = 256
"""Samples of the recordings that are made anew for a case."""


def spoil(rng: random.Random, extension: str) -> Files:
    """Return one hostile recording: its own file first, then those beside it."""
    files = dict(rng.choice(corpus.files(extension)))
    main = next(iter(files))
    if rng.random() < 0.3 and extension in ANEW:
        files = ANEW[extension](rng)
        if rng.random() < 0.7:
            return files
    if rng.random() < 0.15:
        files[main] = havoc(rng, files[main], rng.randint(1, 8))
        return files
    return SPOILERS[extension](rng, files)


# ---- parquet: the footer says where everything is and how much of it
def _parquet(rng: random.Random, files: Files) -> Files:
    data = files[f"{NAME}.parquet"]
    length = int.from_bytes(data[-8:-4], "little")
    body, footer, end = data[: -8 - length], data[-8 - length : -8], data[-8:]
    kind = rng.randrange(4)
    if kind == 0:
        footer = havoc(rng, footer, rng.randint(1, 3))
    elif kind == 1:  # the row count, wherever it stands, is another
        known = _varint(N_SAMPLES)
        places = [match.start() for match in re.finditer(re.escape(known), footer)]
        for place in sorted(rng.sample(places, rng.randint(1, len(places))), reverse=True) if places else []:
            footer = (
                footer[:place]
                + _varint(rng.choice((*INTERESTING[:15], 2**40, 600_000_000)))
                + footer[place + len(known) :]
            )
    elif kind == 2:
        body = havoc(rng, body, rng.randint(1, 6))
    else:
        at = rng.randrange(len(footer))
        footer = footer[:at] + _varint(rng.choice(INTERESTING[:15])) + footer[at + 1 :]
    if rng.random() < 0.9:
        end = len(footer).to_bytes(4, "little") + b"PAR1"
    return {f"{NAME}.parquet": body + footer + end}


def _varint(value: int) -> bytes:
    value, out = value << 1, b""  # zigzag of a number that is not negative
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _column(rng: random.Random) -> pa.Array:
    numbers = np.random.default_rng(rng.randrange(2**32)).normal(0, 20, N)
    kind = rng.randrange(12)
    if kind == 0:
        return pa.array(
            [rng.choice((None, float("nan"), float("inf"), 1e308, 5e-324, 0.0)) for _ in range(N)], pa.float64()
        )
    if kind == 1:
        return pa.array([None] * N)
    if kind == 2:
        return pa.array(
            numbers.astype(np.int64), rng.choice((pa.int8(), pa.int64(), pa.uint64(), pa.timestamp("us"))), safe=False
        )
    if kind == 3:
        return pa.array([[1.0, 2.0]] * N)
    if kind == 4:
        return pa.array([{"a": 1.0}] * N)
    if kind == 5:
        return pa.array(["1"] * N).dictionary_encode()
    if kind == 6:
        return pa.array(numbers > 0)
    if kind == 7:
        return pa.array(numbers.astype(np.float16))
    if kind == 8:
        return pa.array(np.full(N, rng.choice((2**63 - 1, -(2**63), 2**31))))
    return pa.array(numbers.astype(rng.choice((np.float32, np.float64))))


def _stim(rng: random.Random) -> pa.Array:
    codes = np.zeros(N)
    codes[10::20] = rng.choice((1, 33286, 20))
    codes[30::60] = rng.choice((2, 33285, 60))
    kind = rng.randrange(6)
    if kind == 0:
        return _column(rng)
    if kind == 1:
        return pa.array(codes, mask=np.arange(N) == 10)
    if kind == 2:
        codes[rng.randrange(N)] = rng.choice((float("nan"), float("inf"), -1e300, 2.0**63, 0.5, -1))
    return pa.array(codes)


def _parquet_anew(rng: random.Random) -> Files:
    names = [f"eeg_{name}" for name in rng.sample(("Fz", "Cz", "Pz", *NAMES), rng.randint(0, 4))]
    columns = {
        name.encode(errors="replace").decode(): _column(rng) if rng.random() < 0.4 else pa.array(np.arange(N) % 37.0)
        for name in names
    }
    columns["stim"] = _stim(rng)
    if rng.random() < 0.3:
        columns["flash"] = _column(rng)
    hostile: list[Any] = [name.encode(errors="surrogatepass") for name in (*NAMES, *NUMBERS)] + [
        b"\xff\xfe",
        b"[" * 100_000,
        b'["Fz",null]',
        b"{}",
    ]
    metadata: dict[bytes, bytes] = {b"sfreq": rng.choice((b"256", b"256", b"20000", b"0.05", rng.choice(hostile)))}
    for name in (b"unit", b"channels", b"synthetic", b"\xff", b"ARROW:extension:name"):
        if rng.random() < 0.2:
            metadata[name] = rng.choice(hostile)
    buffer = io.BytesIO()
    how = {
        "compression": rng.choice(("none", "snappy", "zstd", "gzip")),
        "row_group_size": rng.choice((1, 7, N, 10_000)),
    }
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), buffer, **how)
    return {f"{NAME}.parquet": buffer.getvalue()}


# ---- csv
def _csv(rng: random.Random, files: Files) -> Files:
    content = files[f"{NAME}.csv"].decode()
    head, tail = content[:3000], content[3000 : rng.choice((3000, 9000, len(content)))]
    spoiled = text(rng, head, rng.randint(1, 6)) + tail
    body = spoiled.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1")), errors="replace")
    kind = rng.randrange(12)
    if kind == 0:
        body = body.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\0", b"")))
    elif kind == 1:
        body = body.replace(b",", rng.choice((b";", b"\t", b",,", b'","', b", ")))
    elif kind == 2:
        body = rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b'"', b"#", b"\n" * 50)) + body
    elif kind == 3:
        body = havoc(rng, body, 3)
    elif kind == 4:
        body += rng.choice(
            (b"," * 200_000, b"1" * 500_000, b'"' + b"x" * 100_000, b"\n" * 100_000, b"0,0,0,0\n" * 20_000)
        )
    return {f"{NAME}.csv": body}


# ---- MATLAB: elements of (type, size), whole ones compressed
def _mat_bytes(rng: random.Random, data: bytes) -> bytes:
    head, elements, at = data[:128], [], 128
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        elements.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    if not elements:
        return havoc(rng, data, 4)
    which = rng.randrange(len(elements))
    spoiled = b""
    for number, (kind, body) in enumerate(elements):
        if number == which:
            inner = zlib.decompress(body) if kind == 15 else body
            # Dimensions, names and tags stand at the beginning, also of each field of a structure.
            reach = rng.choice((64, 256, 2048, len(inner)))
            inner = (
                _words(rng, inner, rng.randint(1, 3), reach)
                if rng.random() < 0.6
                else havoc(rng, inner, rng.randint(1, 4), 0, reach)
            )
            body = zlib.compress(inner, 1) if kind == 15 else inner  # noqa: PLW2901
        size = len(body) if rng.random() < 0.95 else rng.choice(INTERESTING) & 0xFFFFFFFF
        spoiled += struct.pack("<II", kind, size) + body
    return head + spoiled if rng.random() < 0.95 else havoc(rng, head, 2) + spoiled


def _words(rng: random.Random, data: bytes, n_changes: int, reach: int) -> bytes:
    spoiled = bytearray(data)
    for _ in range(n_changes):
        at = 4 * rng.randrange(max(1, min(len(data), reach) // 4 - 1))
        spoiled[at : at + 4] = struct.pack("<I", rng.choice(INTERESTING[:14]) & 0xFFFFFFFF)
    return bytes(spoiled)


def _mat(rng: random.Random, files: Files) -> Files:
    return {f"{NAME}.mat": _mat_bytes(rng, files[f"{NAME}.mat"])}


def _oddity(rng: random.Random) -> Any:
    """Return a value that a MATLAB variable may have."""
    return rng.choice((
        0.0, -1.0, float("nan"), float("inf"), 1e300, 512.0, "", "text", *NAMES[:12], [], np.zeros((0, 18)), np.zeros((3, 3, 3)),
        np.zeros(18), np.array(["a", 1.0, []], object), {"a": {"b": [1.0]}}, np.full((8, 18), 2**63 - 1), np.ones((8, 18), complex),
        np.ones((8, 18), bool), np.full((8, 18), np.nan), np.array([["a", "b"], ["c", "d"]], object), np.uint8(3),
        np.ones((64, 18), np.uint8),
    ))  # fmt: skip


def _mat_anew(rng: random.Random) -> Files:
    samples = corpus.matrix(rng.choice((1, 3, 16, 17, 18, 64)), N)
    if rng.random() < 0.4:
        samples = rng.choice(
            (
                samples.T,
                samples[:1],
                samples[:, :2],
                samples * 1e300,
                samples.astype(np.int16),
                samples + 1j,
                samples[:, :, None],
            )
        )
    variables: dict[str, Any] = {
        rng.choice(("samples", "samples", "data", "DATA", "mat_data", "training", "x")): samples
    }
    for name in ("sfreq", "channels", "unit", "samples"):
        if rng.random() < 0.35:
            variables[name] = _oddity(rng)
    return _saved(f"{NAME}.mat", variables, rng)


def _saved(name: str, variables: dict[str, Any], rng: random.Random) -> Files:
    import scipy.io

    buffer = io.BytesIO()
    try:
        scipy.io.savemat(buffer, variables, do_compression=rng.random() < 0.5, oned_as="row", long_field_names=True)
    except (ValueError, TypeError, UnicodeError, struct.error):  # what a MATLAB file cannot hold
        scipy.io.savemat(buffer, {"samples": corpus.matrix(3, N)})
    return {name: buffer.getvalue()}


# ---- EEGLAB: a MATLAB structure, and maybe the signal in a file beside it
def _set(rng: random.Random, files: Files) -> Files:
    spoiled = dict(files)
    for name in files:
        if name.endswith(".set"):
            spoiled[name] = _mat_bytes(rng, files[name])
        elif rng.random() < 0.3:
            spoiled[name] = rng.choice((b"", files[name][:-1], files[name] * 3, havoc(rng, files[name], 3)))
    return spoiled


def _set_anew(rng: random.Random) -> Files:
    names = rng.sample(("srate", "pnts", "nbchan", "trials", "xmin", "xmax", "data", "event", "chanlocs", "setname", "epoch", "icaweights",
                        "ref", "urchanlocs", "chaninfo", "filepath", "datfile"), rng.randint(1, 3))  # fmt: skip
    changes = {name: _oddity(rng) for name in names}
    if "event" in changes and rng.random() < 0.7:
        numbers = (0.0, -5.0, float("nan"), float("inf"), 1e300, 1e15, 2560.0, 2561.0)
        latencies: tuple[Any, ...] = (*numbers, "x", [], np.zeros(3))
        changes["event"] = np.array([
            {"type": rng.choice(("Target", "NonTarget", 1.0, [], "", "boundary")), "latency": rng.choice(latencies),
             "duration": rng.choice(latencies)}
            for _ in range(rng.randint(1, 5))
        ])  # fmt: skip
    if "chanlocs" in changes and rng.random() < 0.7:
        changes["chanlocs"] = np.array(
            [
                {
                    "labels": rng.choice((*NAMES, "Fz", 3.0)), "type": rng.choice(("EEG", "EOG", "x", [], 1.0)),
                    "X": rng.choice((0.0, float("nan"), 1e300, "x")), "Y": 0.0, "Z": 1.0,
                }
                for _ in range(3)
            ]
        )  # fmt: skip
    if rng.random() < 0.2:
        changes["data"] = rng.choice((f"{NAME}.fdt", "other.fdt", *NAMES))
    eeg = corpus.eeglab(**changes)
    if rng.random() < 0.2:
        eeg["EEG"].pop(rng.choice(list(eeg["EEG"])))
    if rng.random() < 0.1:
        eeg = dict(eeg["EEG"])  # newer EEGLAB writes the fields as variables
    files = _saved(f"{NAME}.set", eeg, rng)
    return files | {f"{NAME}.fdt": eeg_uv(3).astype("<f4").tobytes()} if rng.random() < 0.3 else files


# ---- FIF: tags of (kind, type, size, next)
def _fif(rng: random.Random, files: Files) -> Files:
    data = bytearray(files[f"{NAME}.fif"])
    tags, at = [], 0
    while at + 16 <= len(data):
        _, _, size, following = struct.unpack_from(">iiii", data, at)
        tags.append((at, size))
        at = at + 16 + size if following <= 0 else following
    for _ in range(rng.randint(1, 3)):
        at, size = rng.choice(tags)
        if at + 16 > len(data):
            continue
        kind = rng.randrange(6)
        if kind <= 2:
            struct.pack_into(
                ">I",
                data,
                at + 4 * rng.randrange(4),
                rng.choice((*INTERESTING[:14], *range(100, 120), 200, 201, 203)) & 0xFFFFFFFF,
            )
        elif kind == 3:
            other = rng.choice(tags)[0]
            struct.pack_into(">i", data, at + 12, other)  # a tag that points to another, maybe back
        elif size:
            data = bytearray(havoc(rng, bytes(data), 1, at + 16, at + 16 + min(size, 200)))
    return {f"{NAME}.fif": bytes(data)}


# ---- EDF, BDF: a header of ASCII fields, then records
def _edf(rng: random.Random, files: Files) -> Files:
    ((name, data),) = files.items()
    header = bytearray(data[: 256 * 5])
    fields = [(0, 8), (8, 80), (88, 80), (168, 8), (176, 8), (184, 8), (192, 44), (236, 8), (244, 8), (252, 4)]
    at = 256
    for size in (16, 80, 8, 8, 8, 8, 8, 80, 8, 32):
        fields += [(at + size * i, size) for i in range(4)]
        at += size * 4
    for _ in range(rng.randint(1, 3)):
        where, size = rng.choice(fields)
        value = rng.choice(
            (*NUMBERS, *NAMES, "EDF Annotations", "EDF+D", "EDF+C", "24BIT", "99.99.99", "999999", "-999999", "3", "5")
        )
        header[where : where + size] = value.encode(errors="replace")[:size].ljust(size)
    body = data[256 * 5 :]
    kind = rng.randrange(8)
    if kind == 0:
        body = body[: rng.randrange(len(body))]
    elif kind == 1:
        body = havoc(rng, body, 4)
    elif kind == 2 and b"\x14" in body:  # the times and texts of annotations
        body = body.replace(
            rng.choice((b"+1", b"Target", b"\x14", b"+")),
            rng.choice((b"-9", b"+1e9", b"\x14", b"\x15", b"+99999999", b"\xff\xfe", b"\0")),
        )
    return {name: bytes(header) + body}


# ---- BrainVision: a header and a marker file of lines, and the signal, which the header names
VHDR_KEYS = (
    "DataFile", "MarkerFile", "DataFormat", "DataOrientation", "NumberOfChannels", "SamplingInterval", "BinaryFormat", "Codepage", "Ch1",
    "Ch2", "Mk1", "Mk2", "DataPoints", "SegmentationType",
)  # fmt: skip
VHDR_VALUES = (
    "ASCII", "VECTORIZED", "IEEE_FLOAT_32", "INT_32", "UINT_16", "UTF-16", "ANSI", f"{NAME}.eeg", "Fz,,1e300,µV", "Fz,,nan,V", ",,,",
    "Comment,Target,99999999999,1,0", "Comment,Target,-5,1,0", "New Segment,,1,1,0,2",
)  # fmt: skip


def _vhdr(rng: random.Random, files: Files) -> Files:
    spoiled = dict(files)
    for name in files:
        share = {"vhdr": 0.8, "vmrk": 0.4, "eeg": 0.1}[name.rpartition(".")[2]]
        if rng.random() > share:
            continue
        if name.endswith(".eeg"):
            spoiled[name] = rng.choice((b"", files[name][:-3], b"1,2,3\n" * 500, havoc(rng, files[name], 3)))
            continue
        content = files[name].decode()
        for _ in range(rng.randint(0, 2)):  # a whole value
            key, value = rng.choice(VHDR_KEYS), rng.choice((*NAMES, *NUMBERS, *VHDR_VALUES))
            content = re.sub(rf"(?m)^{key}=.*$", f"{key}={value}".replace("\\", r"\\"), content)
        content = text(rng, content, rng.randint(0, 3))
        spoiled[name] = content.encode(rng.choice(("utf-8", "utf-8", "latin-1", "utf-16")), errors="replace")
    if rng.random() < 0.05:
        spoiled.pop(rng.choice(list(spoiled)[1:]))
    return spoiled


ANEW = {"parquet": _parquet_anew, "mat": _mat_anew, "set": _set_anew}
SPOILERS = {
    "parquet": _parquet,
    "csv": _csv,
    "openbci": recorders.lines,
    "muse": recorders.lines,
    "delimited": recorders.lines,
    "mat": _mat,
    "set": _set,
    "fif": _fif,
    "edf": _edf,
    "bdf": _edf,
    "vhdr": _vhdr,
    "dat": recorders.bci2000,
    "xdf": recorders.xdf,
    "gdf": recorders.gdf,
    "cnt": recorders.cnt,
    "hdf5": recorders.hdf5,
    "mat73": recorders.hdf5,
    "set73": recorders.hdf5,
}
