"""Folders with files that a test makes up."""

from pathlib import Path


def plant(folder: Path, *paths: str, content: str = "") -> None:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def planted(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
