"""What was built: sizes against Lambda's limit, and its work in a clean interpreter that has nothing else.

The functions themselves run from the same built layers in `test_chain.py`.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from p300_cli.deploy import layer_builder

from tests.support.functions import ENVIRONMENT

ROOT = Path(__file__).parents[2]
WORKLOADS = Path(__file__).parent / "workloads"
AIMED_SHARE = 0.90
"""Of Lambda's limit."""


builder = layer_builder()


def layers_of_functions() -> dict[str, tuple[str, ...]]:
    """Return the layers each function of the template uses: {"ingestion": ("p300", "signal"), ...}."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: getattr(node, "value", None))
    resources = yaml.load((ROOT / "template.yaml").read_text("utf-8"), Loader)["Resources"]  # noqa: S506
    functions = {}
    for resource in resources.values():
        if resource["Type"] == "AWS::Serverless::Function":
            properties = resource["Properties"]
            names = tuple(layer.removesuffix("Layer").lower() for layer in properties["Layers"])
            functions[Path(properties["CodeUri"]).name] = names
    return functions


FUNCTIONS = layers_of_functions()


@pytest.fixture(scope="session")
def built() -> dict[str, Any]:
    """Build every layer once; unchanged ones come from the cache."""
    return {name: builder.build_layer(name) for name in builder.LAYERS}


@pytest.fixture(scope="session")
def runtime_python() -> Path:
    """Return the Python that has what the Lambda runtime brings, and nothing else."""
    python = Path(os.environ.get("P300_RUNTIME_PYTHON") or ROOT / ".envs" / "runtime" / "bin" / "python")
    if not python.exists():
        pytest.fail(f"{python} is not there: `make setup` makes it, or P300_RUNTIME_PYTHON names another")
    return python


def run_isolated(python: Path, script: str, folders: list[Path], home: Path, **variables: str) -> None:
    """Run a workload that sees the runtime, the given folders and variables, and nothing of this environment."""
    done = subprocess.run(
        [python, "-s", "-P", "-B", WORKLOADS / script],
        cwd=home,
        env={
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
            "HOME": str(home),
            "TMPDIR": str(home),
            "AWS_DEFAULT_REGION": "us-east-1",
            **variables,
        },
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_template_uses_every_layer() -> None:
    assert {layer for layers in FUNCTIONS.values() for layer in layers} == set(builder.LAYERS)
    assert set(FUNCTIONS) == {folder.parent.name for folder in (ROOT / "functions").glob("*/app.py")}


def test_every_function_with_its_layers_is_under_the_limit(
    built: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    totals = {}
    for function, layers in FUNCTIONS.items():
        code = sum(file.stat().st_size for file in (ROOT / "functions" / function).rglob("*.py"))
        totals[function] = code + sum(built[name].size_bytes for name in layers)
    with capsys.disabled():
        sys.stdout.write(f"\n{'function':15}{'layers':>26}{'bytes':>14}{'of the limit':>14}\n")
        for function, total in totals.items():
            share = total / builder.UNZIPPED_LIMIT_BYTES
            sys.stdout.write(f"{function:15}{' + '.join(FUNCTIONS[function]):>26}{total:14,}{share:14.1%}\n")
    assert max(totals.values()) < AIMED_SHARE * builder.UNZIPPED_LIMIT_BYTES, totals


@pytest.mark.parametrize("layer", builder.THIRD_PARTY_LAYERS)
def test_libraries_work_from_the_layer_alone(
    layer: str, built: dict[str, Any], runtime_python: Path, tmp_path: Path
) -> None:
    run_isolated(runtime_python, f"{layer}_layer.py", [built[layer].path / "python"], tmp_path)


def test_the_same_inputs_give_the_same_bytes(built: dict[str, Any], tmp_path: Path) -> None:
    again = builder.build_layer("serving", cache=tmp_path / "cache")
    first, second = (
        builder.zip_tree(layer.path, tmp_path / f"{number}.zip").read_bytes()
        for number, layer in enumerate((built["serving"], again))
    )
    assert first == second


@pytest.mark.parametrize("layer", builder.THIRD_PARTY_LAYERS)
def test_no_layer_holds_what_the_runtime_brings(layer: str, built: dict[str, Any]) -> None:
    present = {path.name.removesuffix(".pyc") for path in (built[layer].path / "python").iterdir()}
    assert not present & {"boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_starts_from_its_layers_alone(
    function: str, built: dict[str, Any], runtime_python: Path, tmp_path: Path
) -> None:
    layers = [built[name].path / "python" for name in FUNCTIONS[function]]
    folders = [ROOT / "functions" / function, *layers]
    run_isolated(runtime_python, "import_handler.py", folders, tmp_path, **ENVIRONMENT)
