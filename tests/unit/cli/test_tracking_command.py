"""Offline runs on their way to the server: an artifact's files are found where the run says they are."""

import json
from pathlib import Path

from p300_cli.tracking import where_it_was_written


def kept(folder: Path, written_in: str) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"written_in": written_in}))
    (folder / "staged").write_text("bytes")
    return folder


def test_files_are_where_they_were_written_and_gone_again(tmp_path: Path) -> None:
    place = tmp_path / "gone" / "tmpabc"
    folder = kept(tmp_path / "v20260101000000", str(place))
    with where_it_was_written(folder):
        assert (place / "staged").read_text() == "bytes"
    assert not place.exists()
    assert (folder / "staged").exists()


def test_nothing_that_exists_is_touched_and_nothing_else_is_put_in_place(tmp_path: Path) -> None:
    taken = tmp_path / "tmptaken"
    taken.mkdir()
    for number, place in enumerate((taken, tmp_path / "elsewhere", Path("tmprelative"), tmp_path / ".." / "tmpup")):
        with where_it_was_written(kept(tmp_path / f"v{number}", str(place))):
            assert place == taken or not place.is_symlink()
    assert taken.is_dir()
    assert not taken.is_symlink()
