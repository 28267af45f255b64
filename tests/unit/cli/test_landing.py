"""What `p300 land` finds: recordings with all their files, in an order in which each is complete when its header comes."""

from pathlib import Path

import pytest
import typer
from p300_cli.landing import find

from tests.support.readers import write_brainvision, write_parquet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "subject_07"
    folder.mkdir()
    write_brainvision(folder / "run_01.vhdr", [("Target", 100)])
    write_parquet(folder / "run_02.parquet")
    (folder / "notes.txt").write_text("quiet room")
    return folder


def test_a_header_comes_after_the_files_that_it_names(folder: Path) -> None:
    names = [upload.key for upload in find([folder])]
    assert names == [f"subject_07/{name}" for name in ("run_01.eeg", "run_01.vmrk", "run_01.vhdr", "run_02.parquet")]
    assert [upload.key for upload in find([folder / "run_01.vhdr"], "subject_8")][-1] == "subject_8/run_01.vhdr"


def test_a_header_without_its_files_is_not_landed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run_01.vmrk").unlink()
    with pytest.raises((typer.Exit, SystemExit)):
        find([folder])
    assert "names run_01.vmrk" in " ".join(capsys.readouterr().err.split())


def test_a_companion_alone_is_not_landed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((typer.Exit, SystemExit)):
        find([folder / "run_01.eeg"])
    assert "land the .vhdr" in " ".join(capsys.readouterr().err.split())
