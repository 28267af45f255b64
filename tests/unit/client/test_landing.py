"""What `p300 land` finds: recordings with all their files, in an order in which each is complete when its header comes."""

import os
from pathlib import Path

import pytest
from p300.errors import P300Error
from p300_cli.terminal import fail
from p300_client.landing import by_recording, find

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


def test_a_header_without_its_files_is_not_landed(folder: Path) -> None:
    (folder / "run_01.vmrk").unlink()
    assert "names run_01.vmrk" in refusal([folder])


def test_a_companion_alone_is_not_landed(folder: Path) -> None:
    assert "Land the .vhdr" in refusal([folder / "run_01.eeg"])


def test_a_dat_file_is_a_recording_where_it_begins_as_bci2000_s_do(folder: Path) -> None:
    """BrainVision's signal may be called so too, and comes with its header."""
    (folder / "run_01.eeg").rename(folder / "run_01.dat")
    for name in ("run_01.vhdr", "run_01.vmrk"):
        (folder / name).write_text((folder / name).read_text().replace("run_01.eeg", "run_01.dat"))
    (folder / "run_03.dat").write_bytes(b"HeaderLen= 1 SourceCh= 1 StatevectorLen= 1")
    found = find([folder])
    assert [upload.key for upload in found if upload.is_recording] == [
        f"subject_07/{name}" for name in ("run_01.vhdr", "run_02.parquet", "run_03.dat")
    ]
    assert [upload.key for upload in found if not upload.is_recording] == [
        "subject_07/run_01.dat",
        "subject_07/run_01.vmrk",
    ]
    assert "Land the .vhdr" in refusal([folder / "run_01.dat"])
    with_sidecars = [folder / "run_01.p300.json", folder / "run_03.p300.json"]
    for sidecar in with_sidecars:
        sidecar.write_text("{}")
    assert [files[-1].key for files in by_recording(find([folder]))] == [one.key for one in found if one.is_recording]
    assert [upload.path for upload in find([folder]) if upload not in found] == with_sidecars
    assert "Land the recording that it belongs to" in refusal([with_sidecars[1]])


def test_a_format_that_is_not_read_is_refused_with_what_to_export(folder: Path) -> None:
    (folder / "run_04.nwb").write_bytes(b"x")
    assert "export" in refusal([folder / "run_04.nwb"])
    (folder / "run_05.mff").mkdir()
    (folder / "run_05.mff" / "signal1.bin").write_bytes(b"x")
    assert "EGI's software keeps a recording in a folder" in refusal([folder / "run_05.mff"])


def refusal(paths: list[Path], subject: str | None = None) -> str:
    with pytest.raises(P300Error) as refused:
        find(paths, subject)
    return refused.value.message


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_what_programs_leave_behind_is_not_landed_and_said_to_be(folder: Path) -> None:
    expected = find([folder])
    for name in (".DS_Store", "._run_02.parquet", "run_03.parquet.part", "Thumbs.db", "~$notes.csv"):
        (folder / name).write_bytes(b"x")
    notes: list[str] = []
    assert find([folder], notify=notes.append) == expected
    told = " ".join(notes)
    assert "left behind by programs" in told
    assert "._run_02.parquet" in told


def test_links_are_followed_inside_the_folder_only(folder: Path) -> None:
    """As data sets under git-annex have them; one that came with somebody's archive may lead to any file of the user's."""
    secret = folder.parent / "credentials.csv"
    secret.write_text("secret")
    inside = folder / "store" / "abc"
    inside.parent.mkdir()
    write_parquet(inside)
    (folder / "run_03.csv").symlink_to(secret)
    (folder / "run_04.parquet").symlink_to(inside)
    (folder / "run_05.parquet").symlink_to(folder / "nothing")
    os.mkfifo(folder / "run_06.csv")
    notes: list[str] = []
    names = [Path(upload.key).name for upload in find([folder], notify=notes.append)]
    assert names == ["run_01.eeg", "run_01.vmrk", "run_01.vhdr", "run_02.parquet", "run_04.parquet"]
    told = " ".join(notes)
    assert "links that point outside the folder: run_03.csv" in told
    assert "broken links and special files: run_05.parquet, run_06.csv" in told


def test_a_companion_is_no_way_out_of_the_folder(folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_text("secret")
    (folder / "run_01.eeg").unlink()
    (folder / "run_01.eeg").symlink_to(secret)
    for named in (folder, folder / "run_01.vhdr"):
        assert "points outside the folder" in refusal([named])


@pytest.mark.parametrize("name", ["/dev/zero", "a pipe"])
def test_what_is_not_a_file_is_refused(folder: Path, name: str) -> None:
    if name == "a pipe":
        name = str(folder / "run.csv")
        os.mkfifo(name)
    assert "is not a file" in refusal([Path(name)], "subject_1")


@pytest.mark.parametrize(
    "name", ["r\u00e9c.parquet", "run\x1b[2J.parquet", "run\u202e.parquet", "a..b.parquet", "-x.parquet"]
)
def test_a_name_that_would_be_refused_is_refused_before_anything_lands(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parquet(folder / name)
    with pytest.raises(SystemExit):
        fail(refusal([folder]))  # as the command says it
    told = said(capsys)
    assert "Rename the file first" in told
    assert not {"\x1b", "\u202e"} & set(told)


def test_two_names_that_differ_in_capitals_are_not_landed_together(folder: Path) -> None:
    write_parquet(folder / "RUN_02.parquet")
    assert "Two files would land" in refusal([folder])
