"""Lines that layers cut out of installed packages: what is left works without what is left out, and would not without the cut."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from p300_cli.deploy import layer_builder

builder = layer_builder()
EDITS = builder.Plan.read().edits

# For each edit of trim.toml: the package that is left out, and what the functions do with what is left.
USES = {
    "scipy/optimize/_linprog_highs.py": (
        "scipy.optimize._highspy",
        "from scipy.optimize import minimize; assert abs(minimize(lambda x: (x[0] - 3) ** 2, [0]).x[0] - 3) < 1e-3",
    ),
    "scipy/optimize/_milp.py": ("scipy.optimize._highspy", "import scipy.optimize, scipy.signal, scipy.stats"),
    "pyriemann/__init__.py": (
        "matplotlib",
        "import numpy as np; from pyriemann.tangentspace import TangentSpace; TangentSpace().fit(np.eye(2)[None])",
    ),
    "matplotlib/dviread.py": (
        "fontTools",
        "from matplotlib.figure import Figure; import io; Figure().add_subplot(title='$x$').figure.savefig(io.BytesIO())",
    ),
}

# Edits are made while a module is read, so that the installed packages stay as they are.
PROGRAM = """
import importlib.machinery, sys
edits, left_out, use = {edits!r}, {left_out!r}, {use!r}
read = importlib.machinery.SourceFileLoader.get_data
def get_data(loader, path):
    data = read(loader, path)
    for end, cut in edits:
        if path.endswith("/" + end):
            assert data.count(cut.encode()) == 1, path
            data = data.replace(cut.encode(), b"")
            print("cut", end)
    return data
importlib.machinery.SourceFileLoader.get_data = get_data
stats = importlib.machinery.SourceFileLoader.path_stats
def path_stats(loader, path):
    if any(path.endswith("/" + end) for end, _ in edits):
        raise OSError("its bytecode is of the whole file")
    return stats(loader, path)
importlib.machinery.SourceFileLoader.path_stats = path_stats
class LeftOut:
    def find_spec(self, name, path=None, target=None):
        if name == left_out or name.startswith(left_out + "."):
            raise ModuleNotFoundError(name + " is left out")
sys.meta_path.insert(0, LeftOut())
exec(use)
"""


def use_without(left_out: str, use: str, edits: list[Any]) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(edits=[(edit.path, edit.cut) for edit in edits], left_out=left_out, use=use)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.path)
def test_what_is_left_works_without_what_is_left_out(edit: Any) -> None:
    done = use_without(*USES[edit.path], EDITS)
    assert done.returncode == 0, done.stderr
    assert f"cut {edit.path}" in done.stdout


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.path)
def test_an_edit_that_is_not_needed_any_more_is_found(edit: Any) -> None:
    done = use_without(*USES[edit.path], [other for other in EDITS if other is not edit])
    assert "is left out" in done.stderr, f"{edit.path} works as it is: take the edit out of trim.toml"


def test_edit_cuts_the_line(tmp_path: Path) -> None:
    file = tmp_path / "pyriemann" / "__init__.py"
    file.parent.mkdir()
    file.write_text("from . import a\nfrom . import stats\nfrom . import b\n")
    builder.edit(tmp_path, EDITS)
    assert file.read_text() == "from . import a\nfrom . import b\n"


@pytest.mark.parametrize("content", ["from . import a\n", "from . import stats\n" * 2])
def test_edit_refuses_a_package_that_has_changed(content: str, tmp_path: Path) -> None:
    file = tmp_path / "pyriemann" / "__init__.py"
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(builder.LayerBuildError, match=r"pyriemann/__init__\.py .* expected once"):
        builder.edit(tmp_path, EDITS)
