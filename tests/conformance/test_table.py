"""docs/storage.md says what the suite sees."""

import ast
import re
from pathlib import Path

from tests.support.s3_servers import KNOWN

DOCUMENT = (Path(__file__).parents[2] / "docs" / "storage.md").read_text()
HEAD, *ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in re.findall(r"^\| .* \|$", DOCUMENT, flags=re.MULTILINE)
]


def test_the_document_has_a_row_for_each_test() -> None:
    module = ast.parse((Path(__file__).parent / "test_s3.py").read_text())
    names = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    tests = [name for name in names if name.startswith("test_")]
    assert sorted(row[0] for row in ROWS) == sorted(name.removeprefix("test_").replace("_", " ") for name in tests)


def test_the_document_knows_the_differences() -> None:
    for server, known in KNOWN.items():
        column = [title.lower() for title in HEAD].index(server)
        documented = {row[0] for row in ROWS if row[column] != "yes"}
        assert documented == {name.removeprefix("test_").replace("_", " ") for name in known}, server
