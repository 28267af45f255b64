"""docs/storage.md says what the suite sees."""

import inspect
import re
from pathlib import Path

from tests.conformance import test_s3
from tests.conformance.conftest import KNOWN

DOCUMENT = (Path(__file__).parents[2] / "docs" / "storage.md").read_text()
HEAD, *ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in re.findall(r"^\| .* \|$", DOCUMENT, flags=re.MULTILINE)
]


def test_the_document_has_a_row_for_each_test() -> None:
    tests = [name for name, _ in inspect.getmembers(test_s3, inspect.isfunction) if name.startswith("test_")]
    assert sorted(row[0] for row in ROWS) == sorted(name.removeprefix("test_").replace("_", " ") for name in tests)


def test_the_document_knows_the_differences() -> None:
    for server, known in KNOWN.items():
        column = [title.lower() for title in HEAD].index(server)
        documented = {row[0] for row in ROWS if row[column] != "yes"}
        assert documented == {name.removeprefix("test_").replace("_", " ") for name in known}, server
