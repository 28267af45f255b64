"""No module is longer than anyone reads in one go."""

from tests.support.paths import PROJECT

MOST_LINES = 400
FOLDERS = ("benchmarks", "clients", "emulator", "examples", "functions", "layers", "requirements", "tests")


def test_no_python_file_is_longer_than_400_lines() -> None:
    files = [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py")]
    assert len(files) > 500
    lengths = {path.relative_to(PROJECT).as_posix(): len(path.read_text().splitlines()) for path in files}
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}
