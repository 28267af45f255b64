"""`make fuzz`: runs cases by the hundred thousand, watches over each, counts what came out and keeps what must not have."""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.fuzz import worker
from tests.fuzz.targets import EXTRACTED, TARGETS, case
from tests.fuzz.worker import CRASH, MEMORY_BYTES, Finding

KEPT = Path(__file__).parents[2] / ".local" / "fuzz"
LONGEST_S = 5.0
"""Of processor time; a machine that does something else is given more by the clock."""
_CLOCK = 24
CASES_A_PROCESS = 10_000
START = "spawn"


@dataclass
class Result:
    """What came of a target's cases."""

    target: str
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    slowest_s: float = 0.0
    memory_mb: float = 0.0
    took_s: float = 0.0

    @property
    def n_cases(self) -> int:
        return self.outcomes.total()


def fuzz(target: str, seed: int, numbers: range, progress: Progress | None = None) -> Result:
    """Run a target's cases in processes of their own, each after the last one's death."""
    result, began = Result(target), time.monotonic()
    bar = progress.add_task(target, total=len(numbers)) if progress else None
    start = numbers.start
    while start < numbers.stop:
        part = range(start, min(start + CASES_A_PROCESS, numbers.stop))
        start = _run_part(
            result,
            seed,
            part,
            lambda: progress.update(bar, completed=result.n_cases) if progress and bar is not None else None,
        )
    result.took_s = time.monotonic() - began
    return result


def _run_part(result: Result, seed: int, numbers: range, tell) -> int:
    """Run some cases; return the number to go on from."""
    context: Any = multiprocessing.get_context(START)
    slots = context.Array("d", 4, lock=False)
    slots[worker.NUMBER] = numbers.start - 1
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="p300-fuzz-", ignore_cleanup_errors=True) as root:
        process = context.Process(
            target=worker.work, args=(result.target, seed, numbers, root, slots, theirs), daemon=True
        )
        process.start()
        theirs.close()
        watched, done, hung = psutil.Process(process.pid), False, False
        number, used = -1, 0.0
        while not done:
            try:
                while ours.poll(0.25):
                    message = ours.recv()
                    if message is None:
                        done = True
                        break
                    if isinstance(message, Finding):
                        result.findings.append(message)
                        keep(message)
                    else:
                        result.outcomes.update(message)
                        tell()
            except EOFError:
                break
            since = slots[worker.SINCE]  # read once: it may be 0, for no case, at the next look
            if since and not done:
                try:
                    cpu = sum(watched.cpu_times()[:2])
                except psutil.Error:
                    break
                if slots[worker.NUMBER] != number:
                    number, used = slots[worker.NUMBER], cpu
                waited = time.monotonic() - since
                if cpu - used > LONGEST_S or waited > LONGEST_S * _CLOCK:
                    hung = True
                    process.kill()
                    break
        process.join()
        result.slowest_s = max(result.slowest_s, slots[worker.SLOWEST])
        result.memory_mb = max(result.memory_mb, slots[worker.MEMORY])
        if done:
            return numbers.stop
        number = int(slots[worker.NUMBER])
        if number < numbers.start:
            raise RuntimeError(f"the process of {result.target} died before its first case: it says why above")
        kind = f"longer than {LONGEST_S:g} s" if hung else f"the process died ({process.exitcode})"
        story = (Path(root) / CRASH).read_text() if (Path(root) / CRASH).exists() else ""
        finding = Finding(result.target, seed, number, kind, story)
        result.findings.append(finding)
        result.outcomes[kind] += 1
        keep(finding)
    return number + 1


def keep(finding: Finding) -> None:
    """Keep the input of a finding, and its story."""
    folder = KEPT / finding.target / f"{finding.seed}-{finding.number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, body in case(finding.target, finding.seed, finding.number).items():
        (folder / name).write_bytes(body)
    (folder / "finding.txt").write_text(f"{finding.kind}\n\n{finding.detail}\n", errors="replace")


def show(results: list[Result], console: Console) -> None:
    table = Table(title="Hostile input", title_justify="left")
    for heading in ("target", "cases", "cases/s", "used or refused", "longest CPU s", "memory MB", "findings"):
        table.add_column(heading, justify="left" if heading in {"target", "used or refused"} else "right")
    for result in results:
        kinds = Counter(finding.kind for finding in result.findings)
        good = [(name, count) for name, count in result.outcomes.most_common() if name not in kinds]
        told = ", ".join(f"{name} {count / max(1, result.n_cases):.1%}" for name, count in good[:6])
        table.add_row(
            result.target, f"{result.n_cases:,}", f"{result.n_cases / max(result.took_s, 1e-9):,.0f}", told,
            f"{result.slowest_s:.2f}", f"{result.memory_mb:,.0f}", f"[red]{len(result.findings)}[/]" if result.findings else "0",
        )  # fmt: skip
    console.print(table)
    for result in results:
        for kind, count in Counter(finding.kind for finding in result.findings).most_common():
            first = next(finding for finding in result.findings if finding.kind == kind)
            again = f"python -m tests.fuzz {first.target} --seed {first.seed} --case {first.number}"
            console.print(f"[red]{result.target}[/]: {count} x {kind}; {again}", soft_wrap=True, highlight=False)


def main() -> int:
    """Run what the command line asks for; 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=f"any of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--cases", type=int, default=100_000, help="of each target (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="targets at once (default %(default)s)")
    parser.add_argument("--case", type=int, help="run this one again, here, and say what came of it")
    parser.add_argument("--json", action="store_true", help="figures for a program")
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    targets = options.targets or list(TARGETS)
    if options.case is not None:
        return _again(targets[0], options.seed, options.case)
    console = Console(stderr=options.json)
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console.print(
        f"seed {options.seed}, {options.cases:,} cases a target; at most {LONGEST_S:g} s and {MEMORY_BYTES >> 20} MB a case"
    )
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda target: fuzz(target, options.seed, range(options.cases), progress), targets))
    if options.json:
        print(
            json.dumps(
                [{**vars(one), "findings": [vars(finding) for finding in one.findings]} for one in results], indent=1
            )
        )
    else:
        show(results, console)
    return int(any(result.findings for result in results))


def _again(target: str, seed: int, number: int) -> int:
    with tempfile.TemporaryDirectory() as root:
        watch, _ = worker.prepare(target, Path(root))
        files = case(target, seed, number)
        for name, body in files.items():
            print(f"{name}: {len(body):,} bytes, {body[:60]!r}")
        outcome, story = worker.run_number(target, seed, number, Path(root), watch)
    print(f"{outcome}{' (all the way to features)' if number % EXTRACTED == 0 else ''}\n{story or ''}")
    return int(story is not None)


if __name__ == "__main__":
    sys.exit(main())
