"""Everything that is fetched is named by its content: packages by hash, images by digest."""

import re
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[3]
LOCKS = [*sorted((PROJECT / "requirements").glob("*.txt")), *sorted((PROJECT / "layers").glob("*/requirements.txt"))]


def test_images_are_named_by_digest() -> None:
    services = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())["services"]
    assert services
    for name, service in services.items():
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[^@]+:[^@]+@sha256:[0-9a-f]{64}\}", service["image"]), name


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_locks_hash_every_package(lock: Path) -> None:
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", lock.read_text())[1:]
    assert blocks
    for block in blocks:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==\S+ .*--hash=sha256:", block, re.DOTALL), block.splitlines()[
            0
        ]


def test_every_environment_has_its_lock() -> None:
    wanted = {path.stem for path in (PROJECT / "requirements").glob("*.in")}
    assert wanted == {path.stem for path in (PROJECT / "requirements").glob("*.txt")}


def test_what_builds_a_project_is_in_the_lock_of_build_requirements() -> None:
    import tomllib

    locked = dict(re.findall(r"(?m)^([a-z-]+)==(\S+)", (PROJECT / "requirements" / "build.txt").read_text()))
    for path in (PROJECT / "pyproject.toml", PROJECT / "emulator" / "process_executor" / "pyproject.toml"):
        for requirement in tomllib.loads(path.read_text())["build-system"]["requires"]:
            assert re.split("[><=]", requirement)[0] in locked
