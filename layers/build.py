"""Build one Lambda layer: install its hashed lock, leave out what no function needs (`trim.toml`), strip, compile.

Run as `python layers/build.py <layer> --output DIR`, by `sam build` through the Makefile beside this file, and by
`p300 deploy` through `build_layer`. The same inputs give the same bytes, so a finished layer is kept in a cache under
the hash of its inputs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Any

LAYERS_DIR = Path(__file__).resolve().parent
BYTECODE = LAYERS_DIR / "bytecode.py"  # the program that compiles
THIRD_PARTY_LAYERS = ("signal", "reporting", "learning", "tracking", "serving")
OWN_LAYERS = ("p300", "pipeline")
LAYERS = (*OWN_LAYERS, *THIRD_PARTY_LAYERS)
ARCHITECTURES = {"x86_64": "x86_64", "arm64": "aarch64"}  # Lambda's name: the machine's name in wheels
RUNTIME_PYTHON = (3, 13)
GLIBC_MINORS = range(28, 16, -1)  # Lambda's Amazon Linux 2023 has glibc 2.34; wheels are built against 2.28 or less
UNZIPPED_LIMIT_BYTES = 262_144_000  # function and layers together, AWS Lambda quotas
FIXED_TIME_S = 315_532_800  # 1980-01-01, the earliest time a zip can hold
COMPILE_SHARDS = 4  # fixed, so that the bytes do not depend on the number of cores
KEPT_VERSIONS = 3  # of one layer in the cache


class LayerBuildError(RuntimeError):
    """A layer could not be built; the message says which, why and what to do."""


@dataclass(frozen=True)
class Rule:
    """Files to take out of an installed tree: fnmatch patterns on the path, where `*` also crosses folders."""

    name: str
    why: str
    remove: tuple[str, ...]
    keep: tuple[str, ...] = ()

    def matches(self, path: str) -> bool:
        """Tell whether the rule takes this path, relative to the layer's `python/`, out."""
        return _matches(path, self.remove) and not _matches(path, self.keep)


@dataclass(frozen=True)
class Edit:
    """Text to cut out of one installed file; it must stand there exactly once."""

    path: str
    cut: str
    why: str


@dataclass(frozen=True)
class Plan:
    """What `trim.toml` says."""

    exclude: dict[str, dict[str, str]]
    rules: tuple[Rule, ...]
    edits: tuple[Edit, ...]
    unstripped: tuple[str, ...]
    without_docstrings: tuple[str, ...]

    @classmethod
    def read(cls, path: Path = LAYERS_DIR / "trim.toml") -> Plan:
        """Read the plan from its TOML file."""
        raw: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        return cls(
            exclude=raw["exclude"],
            rules=tuple(Rule(r["name"], r["why"], tuple(r["remove"]), tuple(r.get("keep", ()))) for r in raw["rule"]),
            edits=tuple(Edit(**edit) for edit in raw["edit"]),
            unstripped=tuple(entry["pattern"] for entry in raw["unstripped"]),
            without_docstrings=tuple(raw["bytecode"]["without_docstrings"]),
        )


@dataclass(frozen=True)
class BuiltLayer:
    """A finished layer: `path` is the folder that holds `python/`."""

    name: str
    arch: str
    path: Path
    size_bytes: int
    inputs_sha256: str


def build_layer(
    name: str,
    output: Path | None = None,
    arch: str = "x86_64",
    *,
    strip: bool = True,
    cache: Path | None = None,
) -> BuiltLayer:
    """Build a layer, or take it from the cache.

    Parameters
    ----------
    name : str
        One of `LAYERS`.
    output : Path | None
        Folder to put `python/` into; what is there under that name is replaced. None: the layer stays in the cache, and
        its `path` there must not be written to.
    arch : str
        `x86_64` or `arm64`.
    strip : bool
        Whether to strip symbols from the compiled modules.
    cache : Path | None
        Folder of finished layers. None: `P300_LAYER_CACHE`, else `.local/layers` beside the `layers` folder.

    Raises
    ------
    LayerBuildError
        The name or architecture is unknown, or a step failed.
    """
    if name not in LAYERS:
        raise LayerBuildError(f"layer {name!r} is unknown; expected one of {', '.join(LAYERS)}")
    if arch not in ARCHITECTURES:
        raise LayerBuildError(f"architecture {arch!r} is unknown; expected one of {', '.join(ARCHITECTURES)}")
    if sys.version_info[:2] != RUNTIME_PYTHON:
        found, wanted = (".".join(map(str, v)) for v in (sys.version_info[:2], RUNTIME_PYTHON))
        raise LayerBuildError(f"layers hold bytecode for Python {wanted}, this is {found}: run it with python{wanted}")
    stripper = find_strip(arch) if strip and name not in OWN_LAYERS else None
    key = inputs_sha256(name, arch, stripper)
    cache = cache or Path(os.environ.get("P300_LAYER_CACHE") or LAYERS_DIR.parent / ".local" / "layers")
    cache.mkdir(parents=True, exist_ok=True)
    finished = cache / f"{name}-{arch}-{key[:16]}"
    if not finished.is_dir():
        with tempfile.TemporaryDirectory(dir=cache, prefix=f".{name}-") as scratch:
            tree = Path(scratch) / "layer"
            _build(name, arch, stripper, tree / "python")
            if (size := tree_bytes(tree)) > UNZIPPED_LIMIT_BYTES:
                raise LayerBuildError(
                    f"layer {name} for {arch} has {size:,} bytes unzipped, Lambda takes {UNZIPPED_LIMIT_BYTES:,}: "
                    + (
                        "leave more out in trim.toml"
                        if stripper
                        else "its symbols must go: install binutils or LLVM, whose strip the build uses"
                    )
                )
            try:
                tree.rename(finished)
            except OSError:  # another build of the same inputs was faster
                if not finished.is_dir():
                    raise
        _forget_old_versions(cache, f"{name}-{arch}-")
    if output is not None:
        shutil.rmtree(output / "python", ignore_errors=True)
        shutil.copytree(finished / "python", output / "python")
    return BuiltLayer(name, arch, output or finished, tree_bytes(finished), key)


def zip_tree(path: Path, zip_path: Path) -> Path:
    """Zip a folder's content, stored and sorted, with fixed times and modes: equal trees give equal bytes."""
    with zipfile.ZipFile(zip_path, "w") as archive:
        for file in _files(path):
            info = zipfile.ZipInfo(file.relative_to(path).as_posix())  # dated 1980-01-01
            info.external_attr = file.stat().st_mode << 16
            archive.writestr(info, file.read_bytes())
    return zip_path


def tree_bytes(path: Path) -> int:
    """Count the bytes of all files below a folder."""
    return sum(file.stat().st_size for file in _files(path))


def inputs_sha256(name: str, arch: str, stripper: Stripper | None) -> str:
    """Hash all that decides a layer's bytes."""
    digest = hashlib.sha256()
    own = name in OWN_LAYERS
    inputs = (
        _sources(LAYERS_DIR / name / "python")
        if own
        else [LAYERS_DIR / name / "requirements.txt", LAYERS_DIR / "trim.toml"]
    )
    for file in [Path(__file__), BYTECODE, *inputs]:
        content = file.read_bytes()
        name_in_layers = file.relative_to(LAYERS_DIR).as_posix() if file in inputs else file.name
        digest.update(f"{name_in_layers} {len(content)}\n".encode() + content)
    digest.update(f"{name} {arch} {stripper and stripper.version} {sys.implementation.cache_tag}".encode())
    return digest.hexdigest()


def _build(name: str, arch: str, stripper: Stripper | None, target: Path) -> None:
    target.mkdir(parents=True)
    if name in OWN_LAYERS:
        source = LAYERS_DIR / name / "python"
        for file in _sources(source):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        compile_bytecode(target, keep_source=True)
    else:
        plan = Plan.read()
        lock = select_requirements(
            (LAYERS_DIR / name / "requirements.txt").read_text("utf-8"), plan.exclude["every"] | plan.exclude[name]
        )
        install(lock, target, arch)
        trim(target, plan.rules)
        edit(target, plan.edits)
        if stripper:
            strip_symbols(target, stripper, plan.unstripped)
        compile_bytecode(target, keep_source=False, without_docstrings=plan.without_docstrings)
    make_reproducible(target)


def select_requirements(lock: str, exclude: dict[str, str]) -> str:
    """Take the excluded packages out of a hashed lock, together with their hashes and comments.

    Raises
    ------
    LayerBuildError
        An exclusion names a package that the lock does not hold: it is stale, or misspelt.
    """
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    names = [re.match(r"[A-Za-z0-9._-]+", block) for block in blocks]
    pinned = {match.group() for match in names if match}
    if stale := sorted(set(exclude) - pinned):
        raise LayerBuildError(f"trim.toml excludes {', '.join(stale)}, which the lock does not hold: take the line out")
    return "".join(block for block, match in zip(blocks, names, strict=True) if match and match.group() not in exclude)


def install(lock: str, target: Path, arch: str) -> None:
    """Install a hashed lock's wheels for the Lambda platform, exactly those, with uv or, where there is none, pip."""
    machine = ARCHITECTURES[arch]
    version = ".".join(map(str, RUNTIME_PYTHON))
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(lock, "utf-8")
        common = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(target)]
        common += ["--python-version", version, "-r", str(requirements)]
        own = LAYERS_DIR.parent / ".envs" / "uv" / "bin" / "uv"  # the one that `make setup` gets where there is none
        if uv := os.environ.get("UV") or shutil.which("uv") or (own.exists() and str(own)):
            # copies, because hard links into uv's cache would be stripped there as well
            command = [uv, "pip", "install", "--python", sys.executable, "--link-mode", "copy"]
            command += ["--python-platform", f"{machine}-manylinux_2_28", *common]
        else:
            command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
            command += ["--implementation", "cp", *common]
            for minor in GLIBC_MINORS:
                command += ["--platform", f"manylinux_2_{minor}_{machine}"]
            command += ["--platform", f"manylinux2014_{machine}"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise LayerBuildError(
            f"{command[0]} could not install the lock for {arch} (UV names the uv to use; without uv, pip):\n"
            f"{done.stderr.strip()}"
        )


def trim(target: Path, rules: tuple[Rule, ...]) -> None:
    """Remove what the rules name, and the folders that this leaves empty."""
    for file in _files(target):
        path = file.relative_to(target).as_posix()
        if any(rule.matches(path) for rule in rules):
            file.unlink()
    for folder in sorted((p for p in target.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def edit(target: Path, edits: tuple[Edit, ...]) -> None:
    """Cut lines that import what was left out.

    Raises
    ------
    LayerBuildError
        The text does not stand exactly once in the file: the package has changed and the edit must be looked at again.
    """
    for change in edits:
        file = target / change.path
        if not file.exists():  # a package of another layer
            continue
        text = file.read_text("utf-8")
        if (count := text.count(change.cut)) != 1:
            raise LayerBuildError(f"{change.path} holds {change.cut!r} {count} times, expected once: see trim.toml")
        file.write_text(text.replace(change.cut, ""), "utf-8")


@dataclass(frozen=True)
class Stripper:
    """A program that strips symbols from the wanted architecture's modules."""

    program: str
    version: str


def find_strip(arch: str) -> Stripper | None:
    """Find a `strip` that knows the architecture; without one the layer is larger and the build says so."""
    machine = ARCHITECTURES[arch]
    native = ["strip"] if os.uname().machine in (machine, arch) else []
    for program in [*native, f"{machine}-linux-gnu-strip", "llvm-strip"]:
        if found := shutil.which(program):
            done = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
            return Stripper(found, done.stdout.strip().splitlines()[0])
    print(f"no strip for {arch} here: symbols stay in, the layer gets larger", file=sys.stderr)  # noqa: T201
    return None


def strip_symbols(target: Path, stripper: Stripper, unstripped: tuple[str, ...]) -> None:
    """Strip the symbols that the loader does not need."""

    def strip_one(file: Path) -> None:
        subprocess.run([stripper.program, "--strip-unneeded", str(file)], check=True, capture_output=True)

    modules = [file for file in _files(target) if re.search(r"\.so(\.\d+)*$", file.name)]
    modules = [file for file in modules if not _matches(file.relative_to(target).as_posix(), unstripped)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(strip_one, modules))


def compile_bytecode(target: Path, *, keep_source: bool, without_docstrings: tuple[str, ...] = ()) -> None:
    """Compile every module of a layer's `python/`: /opt is read-only in Lambda, so each cold start would compile again.

    Sources kept are for tracebacks that show lines. The bytecode is not checked against them: the times in a zip would make it stale.
    """
    modules = [file.relative_to(target).as_posix() for file in _files(target) if file.suffix == ".py"]
    command = [sys.executable, "-S", "-s", str(BYTECODE), "source" if keep_source else "bare", *without_docstrings]
    environment = os.environ | {"PYTHONHASHSEED": "0"}  # the order of names in a set would reach the bytes

    def compile_shard(shard: int) -> subprocess.CompletedProcess[str]:
        names = "\n".join(modules[shard::COMPILE_SHARDS])
        return subprocess.run(command, input=names, cwd=target, env=environment, text=True, capture_output=True)  # noqa: PLW1510

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(compile_shard, range(COMPILE_SHARDS)):
            if done.returncode:
                raise LayerBuildError(f"a module could not be compiled:\n{done.stderr.strip()}")


def make_reproducible(target: Path) -> None:
    """Give every file and folder the same time, and a mode that does not depend on the builder's umask."""
    for path in [*target.rglob("*"), target]:
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
        os.utime(path, (FIXED_TIME_S, FIXED_TIME_S))


@lru_cache
def _one_regex(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or r"(?!)")


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return _one_regex(patterns).match(path) is not None


def _files(path: Path) -> list[Path]:
    return sorted((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.relative_to(path).as_posix())


def _sources(path: Path) -> list[Path]:
    return [file for file in _files(path) if "__pycache__" not in file.parts]


def _forget_old_versions(cache: Path, prefix: str) -> None:
    versions = sorted(cache.glob(f"{prefix}*"), key=lambda p: p.stat().st_ctime, reverse=True)
    for old in versions[KEPT_VERSIONS:]:
        shutil.rmtree(old, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    """Build the layer that the command line names."""
    parser = argparse.ArgumentParser(description="Build one Lambda layer.")
    parser.add_argument("layer", choices=LAYERS)
    parser.add_argument("--output", type=Path, required=True, help="folder to put python/ into")
    parser.add_argument("--arch", choices=tuple(ARCHITECTURES), default=os.environ.get("P300_ARCHITECTURE") or "x86_64")
    parser.add_argument("--no-strip", action="store_true", help="leave symbols in the compiled modules")
    parser.add_argument("--cache", type=Path, help="folder of finished layers (P300_LAYER_CACHE)")
    args = parser.parse_args(argv)
    try:
        built = build_layer(args.layer, args.output, args.arch, strip=not args.no_strip, cache=args.cache)
    except LayerBuildError as error:
        print(f"layers/build.py: {error}", file=sys.stderr)  # noqa: T201
        return 1
    share = built.size_bytes / UNZIPPED_LIMIT_BYTES
    print(f"{built.name} {built.arch}: {built.size_bytes:,} bytes, {share:.1%} of Lambda's limit")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
