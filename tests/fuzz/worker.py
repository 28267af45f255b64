"""One process that runs cases: with a limit on its memory, and an eye on every file it opens."""

import contextlib
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from p300.errors import P300Error

from tests.fuzz.targets import EXTRACTED, TARGETS, case

MEMORY_BYTES = 1 << 30
"""How much more than the well-formed cases a case may take."""
NUMBER, SINCE, SLOWEST, MEMORY = range(4)
"""Slots: the case that runs, since when (monotonic; 0 for none), the longest in seconds of processor time, the most memory in MB."""
CRASH = "crash.txt"
STARVED = "memory: "
GENEROUS_BYTES = 6 << 30
"""Of address space, where a case was refused more than `MEMORY_BYTES`: much that is asked for is never used."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_TOUCHING = {
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.truncate",
    "shutil.move",
}
_NEVER = {
    "pickle.find_class",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
}


@dataclass(frozen=True)
class Finding:
    """A case that came out as it must not.

    Attributes
    ----------
    target, seed, number
        The case.
    kind : str
        Where it went wrong, short enough to count by.
    detail : str
        The whole story.
    """

    target: str
    seed: int
    number: int
    kind: str
    detail: str


class Watch:
    """Notes what a case touches outside its folder; a hook of the interpreter, so it sees every library written in Python."""

    def __init__(self, root: Path) -> None:
        self.root = os.fspath(root.resolve())
        self.readable = (
            self.root,
            *{os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, Path(__file__).parents[2])},
            "/usr/share/zoneinfo",
            "/proc/stat",
            "/proc/stat",
        )
        self.seen: list[str] = []
        self.on = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike):
                self._opened(os.fsdecode(path), bool(flags & _WRITING))
        elif (event in _TOUCHING and not self._inside(_whole(event, arguments))) or event in _NEVER:
            self.seen.append(f"{event}{arguments!r:.300}")

    def _inside(self, path: Any) -> bool:
        return isinstance(path, int) or os.path.realpath(os.fsdecode(path)).startswith(self.root)

    def _opened(self, path: str, writing: bool) -> None:
        real = os.path.realpath(path) if "\0" not in path else path
        allowed = real.startswith(self.root) if writing else real.startswith(self.readable)
        if not allowed and "\0" not in path:
            self.seen.append(f"opened {path[:200]!r} to {'write' if writing else 'read'}")


def _whole(event: str, arguments: tuple[Any, ...]) -> Any:
    """Return the path that an event is about; what is removed with its folder is named from the open folder on."""
    path, folder = arguments[0], arguments[-1]
    if event in {"os.remove", "os.rmdir"} and isinstance(folder, int) and folder >= 0:
        return Path(f"/proc/self/fd/{folder}").readlink() / os.fsdecode(path)
    return path


def run_case(
    target: str, files: dict[str, bytes], folder: Path, watch: Watch, *, all_the_way: bool, watched: bool = True
) -> tuple[str, str | None]:
    """Run one case; return what came of it and, where that is a finding, the story."""
    watch.seen.clear()
    watch.on = watched
    try:
        try:
            outcome = TARGETS[target].run(files, folder, all_the_way)
        finally:
            watch.on = False
    except P300Error as error:
        outcome = error.code
        if starved := _starved(error):
            return f"{STARVED}{starved}", traceback.format_exc()
        try:
            error.message.encode()
        except UnicodeError:
            return f"a message that cannot be written: {error.code}", traceback.format_exc()
        if len(error.message) > 4000:
            return f"a message of {len(error.message) // 1000},000 letters: {error.code}", error.message[:2000]
    except Exception as error:
        return _where(error), traceback.format_exc()
    if watch.seen:
        return f"touched: {watch.seen[0].split(chr(39))[0]}", "\n".join(watch.seen)
    return outcome, None


def _starved(error: BaseException) -> str | None:
    """Tell whether an error was raised because memory was refused: elsewhere it would have been given."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or "Unable to allocate" in str(cause) or "malloc of size" in str(cause):
            return _where(cause)
        cause = cause.__cause__ or cause.__context__
    return None


def _where(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/" not in frame.filename]
    ours = [frame for frame in frames if "/p300/" in frame.filename]
    last = next(reversed(ours or frames), None)
    place = f" at {'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}" if last else ""
    return f"{type(error).__name__}{place}"


def work(target: str, seed: int, numbers: range, root: str, slots: Any, pipe: Connection) -> None:
    """Run cases in `root` and tell of them through `pipe`; the slots say which number runs, and since when."""
    watch, _ = prepare(target, Path(root))
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, held + GENEROUS_BYTES))
    outcomes: dict[str, int] = {}
    last_told = time.monotonic()
    for number in numbers:
        slots[NUMBER], slots[SINCE] = number, time.monotonic()
        began = time.process_time()
        outcome, story = run_number(target, seed, number, Path(root), watch)
        if outcome.startswith(STARVED) and not _takes_it(target, seed, number, Path(root), watch):
            outcome, story = "unreadable", None
        slots[SLOWEST], slots[SINCE] = max(slots[SLOWEST], time.process_time() - began), 0.0
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if story:
            pipe.send(Finding(target, seed, number, outcome, story))
        if time.monotonic() - last_told > 0.5:
            pipe.send(outcomes)
            outcomes, last_told = {}, time.monotonic()
    slots[MEMORY] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send(outcomes)
    pipe.send(None)


def _takes_it(target: str, seed: int, number: int, root: Path, watch: Watch) -> bool:
    """Tell whether a case that asked for too much memory fills it, by giving it what it asks for in a process of its own."""
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            run_number(target, seed, number, root, watch)
            code = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > MEMORY_BYTES >> 10)
        os._exit(code)
    return os.waitpid(child, 0)[1] != 0


def prepare(target: str, root: Path) -> tuple[Watch, list[str]]:
    """Import everything, read the well-formed cases, and return the watch and what came of them."""
    import faulthandler
    import logging

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    os.environ["TMPDIR"] = tempfile.tempdir = os.fspath(root)
    faulthandler.enable((root / CRASH).open("w"))
    watch = Watch(root)
    outcomes: list[Any] = []
    for watched in (False, True):  # what is imported and looked up the first time is no case's doing
        outcomes.clear()
        for files in TARGETS[target].warm_up():
            outcome, story = _in_folder(target, files, root, watch, all_the_way=True, watched=watched)
            if story:
                raise RuntimeError(f"a well-formed {target} came out as {outcome}: {story}")
            outcomes.append(outcome)
    return watch, outcomes


def run_number(target: str, seed: int, number: int, root: Path, watch: Watch) -> tuple[str, str | None]:
    """Make a case and run it; return as `run_case` does."""
    files = case(target, seed, number)
    return _in_folder(target, files, root, watch, all_the_way=number % EXTRACTED == 0)


def _in_folder(
    target: str, files: dict[str, bytes], root: Path, watch: Watch, *, all_the_way: bool, watched: bool = True
) -> tuple[str, str | None]:
    with tempfile.TemporaryDirectory(dir=root) as folder:
        return run_case(target, files, Path(folder), watch, all_the_way=all_the_way, watched=watched)
