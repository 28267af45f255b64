"""``p300 reproduce``: a version made again from the raw recordings, and whether it is the same to the bit."""

import tempfile
from dataclasses import asdict
from pathlib import Path

from p300_pipeline.reproduction import Reproduction, reproduce
from p300_pipeline.storage import Store

from p300_cli.target import Target
from p300_cli.terminal import note, out, print_json, table


def reproduce_version(target: Target, version: str) -> Reproduction:
    """Make a version again on this machine, in a temporary folder; nothing is written to the buckets."""
    raw, models = target.outputs["RawBucketName"], target.outputs["ModelsBucketName"]
    with tempfile.TemporaryDirectory(prefix="p300-reproduce-") as folder:
        return reproduce(Store(target.client("s3")), raw, models, version, Path(folder), note)


def show(found: Reproduction, *, as_json: bool = False) -> None:
    """Print what is the same, and in what this machine differs."""
    if as_json:
        print_json({**asdict(found), "same": found.same})
        return
    rows = [[file.name, file.expected, file.found if not file.same else "the same"] for file in found.files]
    out.print(table(f"{found.version}, SHA-256", ["file", "as it was made", "made now"], rows))
    for difference in found.differences:
        note(difference)
    if found.same:
        out.print(
            f"{found.version} is reproduced to the bit: {len(found.files) - 1} recordings' features and the model"
        )
        return
    why = (
        "differences above may be why" if found.differences else "libraries and kind of machine are those that made it"
    )
    out.print(f"{found.version} is not reproduced to the bit; {why}")
