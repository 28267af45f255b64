"""`p300 fetch` against a local server that answers as Zenodo does, and breaks as networks do."""

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from p300.errors import P300Error
from p300.readers import read_recording
from p300_cli import fetching
from p300_cli.main import app
from p300_client import landing
from scipy.io import savemat
from typer.testing import CliRunner


class Zenodo:
    """One record: its files, what is to go wrong with each, and every request that came."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.checksums: dict[str, str] = {}
        self.faults: list[Callable[[BaseHTTPRequestHandler, bytes], None]] = []
        self.record_body: bytes | None = None
        self.requests: list[tuple[str, str | None]] = []
        self.understands_ranges = True
        self.address = ""

    def record(self, number: str) -> bytes:
        entries = [
            {
                "key": name,
                "size": len(body),
                "checksum": self.checksums.get(name) or f"md5:{hashlib.md5(body).hexdigest()}",  # noqa: S324
                "links": {"self": f"{self.address}/api/records/{number}/files/{name}/content"},
            }
            for name, body in self.files.items()
        ]
        return self.record_body or json.dumps({"id": int(number), "files": entries}).encode()

    @property
    def downloads(self) -> list[str | None]:
        """The Range header of each request for a file."""
        return [held for path, held in self.requests if path.endswith("/content")]


@pytest.fixture
def zenodo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zenodo]:
    site = Zenodo()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            held = self.headers.get("Range")
            site.requests.append((self.path, held))
            if match := re.fullmatch(r"/api/records/(\d+)", self.path):
                answer(self, site.record(match[1]))
            elif (match := re.fullmatch(r"/api/records/\d+/files/(.+)/content", self.path)) and match[1] in site.files:
                if site.faults:
                    site.faults.pop(0)(self, site.files[match[1]])
                else:
                    send(self, site.files[match[1]], held if site.understands_ranges else None)
            else:
                answer(self, b'{"status": 404}', 404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(fetching, "CHUNK_BYTES", 500)  # small, like the files
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)  # pooch's pauses between attempts
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def answer(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def send(handler: BaseHTTPRequestHandler, body: bytes, held: str | None) -> None:
    if not held:
        answer(handler, body)
        return
    start = int(held.removeprefix("bytes=").removesuffix("-"))
    if start >= len(body):
        answer(handler, b"", 416, Content_Range=f"bytes */{len(body)}")
    else:
        answer(handler, body[start:], 206, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")


def drop_after(n_bytes: int) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
    """Promise the whole (or the rest), send some of it, hang up."""

    def fault(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        held = handler.headers.get("Range")
        start = int(held.removeprefix("bytes=").removesuffix("-")) if held else 0
        handler.send_response(206 if held else 200)
        if held:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        handler.wfile.write(body[start : start + n_bytes])
        handler.close_connection = True

    return fault


def truncated(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    answer(handler, body[: len(body) // 2])


def busy(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    answer(handler, b"", 503)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


@cache  # MATLAB files hold the time they were made
def mat(seed: int = 0) -> bytes:
    """Return a short recording in bi2014a's layout: time, 16 channels in microvolts, stim."""
    rng = np.random.default_rng(seed)
    stim = np.zeros(2048)
    stim[100:1900:64] = 1
    stim[164:1900:256] = 2
    buffer = io.BytesIO()
    savemat(buffer, {"samples": np.column_stack([np.arange(2048) / 512, rng.normal(0, 8, (2048, 16)), stim])})
    return buffer.getvalue()


@pytest.fixture
def bi2014a(zenodo: Zenodo) -> Zenodo:
    for subject in (1, 2):
        zenodo.files[f"subject_{subject:02}.zip"] = zipped(**{f"subject_{subject:02}.mat": mat(subject)})
    return zenodo


def test_recordings_lie_as_land_wants_them_and_a_second_run_downloads_nothing(bi2014a: Zenodo, tmp_path: Path) -> None:
    paths = fetching.fetch("bi2014a", [1, 2], tmp_path, bi2014a.address)
    assert [upload.key for upload in landing.find([tmp_path])] == [
        "subject_01/subject_01.mat",
        "subject_02/subject_02.mat",
    ]
    assert read_recording(paths[1]).sfreq == 512
    assert paths[1].read_bytes() == mat(2)
    assert len(bi2014a.downloads) == 2
    assert fetching.fetch("bi2014a", [1, 2], tmp_path, bi2014a.address) == paths
    assert len(bi2014a.downloads) == 2


@pytest.mark.parametrize(
    ("name", "subject", "archives", "expected"),
    [
        ("bi2012", 3, {"subject_03.zip": ["subject_03/training.mat", "subject_03/online.mat"]}, ["online", "training"]),
        ("bi2013a", 8, {"subject08.zip": ["subject08/meta.yml", "subject08/Session1/4.mat"]}, ["Session1_4"]),
        (
            "bi2013a",
            1,
            {f"subject01_session{s:02}.zip": [f"subject01_session{s:02}/Session{s}/1.mat"] for s in range(1, 9)},
            [f"Session{s}_1" for s in range(1, 9)],
        ),
        (
            "bi2014b",
            4,
            {"group_02_mat.zip": ["group_02.mat", "group_02_sujet_01.mat", "group_02_sujet_02.mat"]},
            ["group_02_sujet_02"],
        ),
        (
            "bi2015a",
            43,
            {"subject_43_mat.zip": [f"subject_43_session_0{s}.mat" for s in (1, 2, 3)]},
            [f"subject_43_session_0{s}" for s in (1, 2, 3)],
        ),
        ("bi2015b", 1, {"group_01_mat.zip": ["group_01_s1.mat", "group_01_s4.mat"]}, ["group_01_s1", "group_01_s4"]),
    ],
)
def test_every_data_set_has_its_layout(
    zenodo: Zenodo, tmp_path: Path, name: str, subject: int, archives: dict[str, list[str]], expected: list[str]
) -> None:
    zenodo.files = {
        archive: zipped(**{member: member.encode() for member in members}) for archive, members in archives.items()
    }
    paths = fetching.fetch(name, [subject], tmp_path, zenodo.address)
    assert sorted(paths) == [tmp_path / f"subject_{subject:02}" / f"{stem}.mat" for stem in expected]


def test_a_dropped_connection_is_resumed_where_it_broke(bi2014a: Zenodo, tmp_path: Path) -> None:
    bi2014a.faults = [drop_after(1000), drop_after(500)]
    (path,) = fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)
    assert path.read_bytes() == mat(1)
    assert bi2014a.downloads == [None, "bytes=1000-", "bytes=1500-"]


def test_a_server_without_ranges_is_asked_for_the_whole_again(bi2014a: Zenodo, tmp_path: Path) -> None:
    bi2014a.understands_ranges = False
    bi2014a.faults = [drop_after(1000)]
    (path,) = fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)
    assert path.read_bytes() == mat(1)


def test_the_next_run_goes_on_where_this_one_gave_up(bi2014a: Zenodo, tmp_path: Path) -> None:
    bi2014a.faults = [drop_after(1000)] * fetching.ATTEMPTS
    with pytest.raises(P300Error, match="broke off") as raised:
        fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)
    assert raised.value.code == "unreachable"
    assert not (tmp_path / "subject_01").exists()
    (path,) = fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)
    assert path.read_bytes() == mat(1)
    assert bi2014a.downloads[-1] == f"bytes={1000 * fetching.ATTEMPTS}-"


def test_a_partial_download_that_is_no_beginning_of_the_file_is_thrown_away(bi2014a: Zenodo, tmp_path: Path) -> None:
    shelf = tmp_path / ".download"
    shelf.mkdir()
    (shelf / "subject_01.zip.part").write_bytes(b"something else")
    (shelf / "subject_02.zip.part").write_bytes(bytes(len(bi2014a.files["subject_02.zip"])))
    paths = fetching.fetch("bi2014a", [1, 2], tmp_path, bi2014a.address)
    assert [path.read_bytes() for path in paths] == [mat(1), mat(2)]


def test_a_passing_503_is_asked_again(bi2014a: Zenodo, tmp_path: Path) -> None:
    bi2014a.faults = [busy]
    assert fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)


def test_a_lasting_503_is_told(bi2014a: Zenodo, tmp_path: Path) -> None:
    bi2014a.faults = [busy] * fetching.ATTEMPTS
    with pytest.raises(P300Error, match="503") as raised:
        fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)
    assert raised.value.code == "refused"


@pytest.mark.parametrize("fault", ["truncated", "wrong checksum"])
def test_damaged_bytes_never_become_a_recording(bi2014a: Zenodo, tmp_path: Path, fault: str) -> None:
    if fault == "truncated":
        bi2014a.faults = [truncated] * fetching.ATTEMPTS
    else:
        bi2014a.checksums["subject_01.zip"] = "md5:" + "0" * 32
    with pytest.raises(P300Error, match="checksum") as raised:
        fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)
    assert raised.value.code == "damaged_download"
    assert [path.name for path in tmp_path.rglob("*")] == [".download"]


def test_one_truncated_answer_is_mended_by_the_next(bi2014a: Zenodo, tmp_path: Path) -> None:
    bi2014a.faults = [truncated]
    (path,) = fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)
    assert path.read_bytes() == mat(1)


def test_a_missing_file_is_told_at_once(bi2014a: Zenodo, tmp_path: Path) -> None:
    bi2014a.faults = [lambda handler, body: answer(handler, b"gone", 404)]
    with pytest.raises(P300Error, match="404") as raised:
        fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)
    assert raised.value.code == "refused"
    assert len(bi2014a.downloads) == 1
    with pytest.raises(P300Error, match=r"no file subject_03\.zip") as raised:
        fetching.fetch("bi2014a", [3], tmp_path, bi2014a.address)
    assert raised.value.code == "no_such_file"


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b"{}", b'{"files": null}', b"[]"])
def test_a_record_that_is_none_is_refused(zenodo: Zenodo, tmp_path: Path, body: bytes) -> None:
    zenodo.record_body = body
    with pytest.raises(P300Error, match="does not answer as Zenodo does") as raised:
        fetching.fetch("bi2014a", [1], tmp_path, zenodo.address)
    assert raised.value.code == "refused"


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(P300Error, match="connection failed") as raised:
        fetching.fetch("bi2014a", [1], tmp_path, "http://127.0.0.1:1")
    assert raised.value.code == "unreachable"


@pytest.mark.parametrize(
    "evil", ["../subject_01.mat", "/etc/subject_01.mat", "a/../../subject_01.mat", "C:/subject_01.mat"]
)
def test_an_archive_that_points_outside_itself_is_refused_whole(tmp_path: Path, evil: str) -> None:
    archive = tmp_path / "subject_01.zip"
    archive.write_bytes(zipped(**{"subject_01.mat": b"good", evil: b"evil"}))
    with pytest.raises(P300Error, match="points outside") as raised:
        fetching.unpack(archive, r"subject_01\.mat", tmp_path / "inner" / "subject_01")
    assert raised.value.code == "bad_archive"
    assert [path.name for path in tmp_path.rglob("*")] == ["subject_01.zip"]


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "subject_01.zip"
    link = zipfile.ZipInfo("subject_01.mat")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr(link, "/etc/passwd")
    with pytest.raises(P300Error, match="points outside"):
        fetching.unpack(archive, r"subject_01\.mat", tmp_path / "subject_01")


def test_an_archive_that_unfolds_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_RECORDING_BYTES", 1000)
    archive = tmp_path / "subject_01.zip"
    archive.write_bytes(zipped(**{"subject_01.mat": bytes(1001)}))
    with pytest.raises(P300Error, match="1,001 bytes"):
        fetching.unpack(archive, r"subject_01\.mat", tmp_path / "subject_01")


@pytest.mark.parametrize(
    "body", [b"no zip", zipped(**{"readme.txt": b"hello"}), zipped(**{"x.mat": bytes(5000)})[:-40]]
)
def test_an_archive_without_recordings_is_refused(tmp_path: Path, body: bytes) -> None:
    archive = tmp_path / "subject_01.zip"
    archive.write_bytes(body)
    with pytest.raises(P300Error) as raised:
        fetching.unpack(archive, r"subject_01\.mat", tmp_path / "subject_01")
    assert raised.value.code == "bad_archive"
    assert str(archive) in raised.value.message


def test_a_file_in_the_recordings_place_is_not_overwritten(bi2014a: Zenodo, tmp_path: Path) -> None:
    mine = tmp_path / "subject_01" / "subject_01.mat"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    with pytest.raises(P300Error, match="is there already") as raised:
        fetching.fetch("bi2014a", [1], tmp_path, bi2014a.address)
    assert raised.value.code == "in_the_way"
    assert mine.read_bytes() == b"mine"


def test_subjects() -> None:
    assert fetching.parse_subjects("1-3,2, 10", "bi2014a") == [1, 2, 3, 10]
    assert fetching.parse_subjects("all", "bi2012") == list(range(1, 26))
    for wrong in ("", "0", "65", "3-1", "1-", "one", "1;2", "1-99999999999"):
        with pytest.raises(P300Error, match="from 1 to 64"):
            fetching.parse_subjects(wrong, "bi2014a")


def test_the_command_prints_paths_or_one_line_of_error(bi2014a: Zenodo, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, ["fetch", *arguments, "--folder", str(tmp_path), "--server", bi2014a.address])
        return done.exit_code, done.stdout, done.stderr

    code, out, _ = run("bi2014a", "--subjects", "1-2")
    assert code == 0
    assert out.splitlines() == [str(tmp_path / f"subject_0{s}" / f"subject_0{s}.mat") for s in (1, 2)]
    code, out, err = run("bi2014a", "--subjects", "64")
    assert (code, out) == (1, "")
    assert err.strip().startswith("error: doi:10.5281/zenodo.3266223 has no file subject_64.zip")
    assert len(err.strip().splitlines()) == 1
    code, _, err = run("bi1999")
    assert code == 1
    assert "bi2014a" in err
