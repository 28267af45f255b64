"""The stand-in for /opt."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from localstack_process_executor.layers import Layer, LayerCache

MakeLayer = Callable[..., Layer]


@pytest.fixture
def unpacked() -> list[str]:
    """Return the names of the layers that were unpacked, in order."""
    return []


@pytest.fixture
def layer(tmp_path: Path, unpacked: list[str]) -> MakeLayer:
    """Return a factory for layers: `layer("name", {"path": "content"})`."""

    def make(name: str, files: dict[str, str]) -> Layer:
        def unpack() -> Path:
            unpacked.append(name)
            for path, content in files.items():
                file = tmp_path / "unpacked" / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content)
                file.chmod(0o755)
            return tmp_path / "unpacked" / name

        return Layer(f"sha256 of {name}", unpack)

    return make


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "cache")


def content(opt: Path) -> dict[str, str]:
    return {str(path.relative_to(opt)): path.read_text() for path in opt.rglob("*") if path.is_file()}


def test_later_layers_win_and_packages_merge(cache: LayerCache, layer: MakeLayer) -> None:
    first = layer("first", {"python/package/a.py": "first", "python/package/b.py": "first", "bin/tool": "first"})
    second = layer("second", {"python/package/b.py": "second", "lib/c.so": "second"})
    opt = cache.opt([first, second])
    assert content(opt) == {
        "python/package/a.py": "first",
        "python/package/b.py": "second",
        "bin/tool": "first",
        "lib/c.so": "second",
    }
    assert os.access(opt / "bin" / "tool", os.X_OK)
    assert content(cache.opt([second, first]))["python/package/b.py"] == "first"
    assert content(cache.opt([first]))["python/package/b.py"] == "first"


def test_merging_copies_nothing(cache: LayerCache, layer: MakeLayer) -> None:
    first, second = layer("first", {"a": "1"}), layer("second", {"b": "2"})
    assert cache.opt([first, second]).joinpath("a").samefile(cache.opt([first]) / "a")


def test_without_hard_links_files_are_copied(
    cache: LayerCache, layer: MakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    opt = cache.opt([layer("first", {"a": "1"}), layer("second", {"a": "2", "b": "2"})])
    assert content(opt) == {"a": "2", "b": "2"}
    assert os.access(opt / "a", os.X_OK)


def test_symbolic_links_are_kept(cache: LayerCache, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "lib.so.1").write_text("library")
    (source / "lib.so").symlink_to("lib.so.1")
    (source / "lost").symlink_to("nowhere")
    opt = cache.opt([Layer("x", lambda: source), Layer("y", lambda: source)])
    assert (opt / "lib.so").readlink() == Path("lib.so.1")
    assert (opt / "lost").readlink() == Path("nowhere")


def test_a_layer_is_unpacked_once_for_all_functions_and_runs(
    cache: LayerCache, layer: MakeLayer, unpacked: list[str], tmp_path: Path
) -> None:
    first, second = layer("first", {"a": "1"}), layer("second", {"b": "2"})
    opt = cache.opt([first, second])
    (opt / "__pycache__").mkdir()
    cache.opt([first])
    later = LayerCache(tmp_path / "cache")
    assert later.opt([first, second]) == opt
    assert (opt / "__pycache__").is_dir()
    later.opt([second, first])
    assert unpacked == ["first", "second"]


def test_concurrent_starts_unpack_once_and_see_all_files(
    cache: LayerCache, layer: MakeLayer, unpacked: list[str]
) -> None:
    files = {f"python/{number}.py": "x" for number in range(50)}
    layers = [layer("first", files), layer("second", {"b": "2"})]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: len(content(cache.opt(layers))), range(8)))
    assert found == [51] * 8
    assert unpacked == ["first", "second"]


def test_two_localstacks_may_build_the_same_layers_at_once(tmp_path: Path) -> None:
    ours, theirs = LayerCache(tmp_path / "cache"), LayerCache(tmp_path / "cache")
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("1")

    def unpack_while_the_other_finishes() -> Path:
        theirs.opt([Layer("same", lambda: source)])
        return source

    assert content(ours.opt([Layer("same", unpack_while_the_other_finishes)])) == {"a": "1"}


def test_a_layer_that_cannot_be_unpacked_leaves_nothing(cache: LayerCache, layer: MakeLayer, tmp_path: Path) -> None:
    def fail() -> Path:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        cache.opt([layer("good", {"a": "1"}), Layer("bad", fail)])
    assert content(cache.opt([layer("good", {}), Layer("bad", partial(Path, tmp_path / "unpacked" / "good"))])) == {
        "a": "1"
    }


def test_entries_unused_for_long_are_removed(cache: LayerCache, layer: MakeLayer, tmp_path: Path) -> None:
    old, new = layer("old", {"a": "1"}), layer("new", {"a": "1"})
    os.utime(cache.opt([old]), (0, 0))
    cache.opt([new])
    LayerCache(tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert content(cache.opt([old])) == {"a": "1"}
