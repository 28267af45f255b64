"""The examples run, and show what they say; so do those in docstrings."""

import csv
import doctest
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from p300.models import linear

REPOSITORY = Path(__file__).parents[3]
WITH_MOABB = REPOSITORY / ".envs" / "examples" / "bin" / "python"


def run(python: str | Path, name: str) -> str:
    # One thread: those of a linear algebra library wait for each other where tests run side by side.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [python, REPOSITORY / "examples" / name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_docstrings() -> None:
    failed, attempted = doctest.testmod(linear)
    assert (failed, attempted > 0) == (0, True)


def test_models_in_scikit_learn() -> None:
    printed = run(sys.executable, "models_in_scikit_learn.py")
    aucs = {name: float(auc) for name, auc in re.findall(r"^(.*): AUC ([\d.]+) on left-out subjects$", printed, re.M)}
    assert list(aucs) == [
        "lda",
        "xdawn_ts",
        "lda, aligned",
        "ensemble, each epoch on its own",
        "ensemble, adapted to each recording",
    ]
    assert min(aucs.values()) > 0.7
    assert max(aucs, key=lambda name: aucs[name]) == "ensemble, adapted to each recording"
    assert re.search(r"float64 -> epochs -> features -> mean: the same probabilities within \de-1\d\n", printed)


@pytest.mark.skipif(not WITH_MOABB.exists(), reason="MOABB is not installed: make .envs/examples.stamp")
def test_models_in_moabb() -> None:
    within, across = csv.DictReader(io.StringIO(run(WITH_MOABB, "models_in_moabb.py")))
    assert (within.pop("evaluation"), across.pop("evaluation")) == ("WithinSessionEvaluation", "CrossSubjectEvaluation")
    for aucs in (within, across):
        assert list(aucs) == ["lda", "ridge", "xdawn_ts", "ensemble", "scikit-learn's lda"]
        assert aucs["lda"] == aucs["scikit-learn's lda"]
        assert all(0.3 < float(auc) < 0.7 for auc in aucs.values())  # noise: there is nothing to find
