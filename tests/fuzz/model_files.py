"""Spoils model files: arrays in a zip archive."""

import io
import random
import zipfile
from typing import Any

import numpy as np

from tests.fuzz import corpus
from tests.fuzz.mutation import NAMES, havoc


def npz(rng: random.Random) -> bytes:
    """Return a hostile ``model.npz``."""
    arrays = dict(corpus.model(rng.choice(corpus.KINDS)))
    if rng.random() < 0.2:
        return havoc(rng, corpus.npz(arrays), rng.randint(1, 6))
    members = {f"{name}.npy": _npy(array) for name, array in arrays.items()}
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(list(members))
        kind = rng.randrange(7)
        if kind == 0:
            members[name] = _npy_header(rng, members[name])
        elif kind == 1:
            members[name] = havoc(rng, members[name], rng.randint(1, 3))
        elif kind == 2:
            array = arrays.get(name.removesuffix(".npy"), np.zeros(3))
            numbers = array.dtype.kind in "iuf"
            odd = rng.choice((0, 1, -1, 2, 40, 1e308, -1e308, 1e-320, float("nan"), float("inf"), 2**31))
            spoiled = np.array(array, float) if numbers else array
            if numbers:
                spoiled.flat[rng.randrange(max(1, spoiled.size)) if spoiled.size else 0] = odd
            members[name] = _npy(
                rng.choice(
                    (spoiled, spoiled.astype(str), spoiled[None], spoiled.ravel()[:1], np.zeros(0), np.array("text"))
                )
            )
        elif kind == 3:
            members[rng.choice(NAMES) + rng.choice((".npy", ""))] = members.pop(name)
        elif kind == 4:
            del members[name]
        elif kind == 5:
            members[name] = b"\x80\x04c__builtin__\nexec\n" if rng.random() < 0.5 else rng.randbytes(64)
        else:
            members[name] = _npy(np.zeros(rng.choice((0, 10, 100_000))))
        if not members:
            break
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name.encode(errors="replace").decode() or "x"), content)
    body = buffer.getvalue()
    return havoc(rng, body, rng.randint(1, 3), max(0, len(body) - 60 * len(members))) if rng.random() < 0.2 else body


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _npy_header(rng: random.Random, data: bytes) -> bytes:
    descr = rng.choice(
        (
            "'<f8'",
            "'|O'",
            "'<U1000000000'",
            "'>c16'",
            "'<M8[ns]'",
            "[('a', '<f8')]",
            "'<f8', 'x': " + "(" * 200,
            "'|V0'",
            "'<i8'",
        )
    )
    shape = rng.choice(
        (
            "()",
            "(1,)",
            "(-1,)",
            "(5000000000,)",
            "(2**40,)",
            "(" + "1," * 70 + ")",
            "(0, 9999999999)",
            "(65536, 65536)",
            "None",
            "(3, 3)",
        )
    )
    header = (
        f"{{'descr': {descr}, 'fortran_order': {rng.choice(('False', 'True', '3'))}, 'shape': {shape}, }}\n".encode()
    )
    return (
        b"\x93NUMPY"
        + rng.choice((b"\1\0", b"\1\0", b"\3\0", b"\x09\0"))
        + len(header).to_bytes(2, "little")
        + header
        + data[128:]
    )
