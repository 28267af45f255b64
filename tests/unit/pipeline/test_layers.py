"""How layers are built, on made-up trees: what is taken out and why, equal bytes, the cache."""

import itertools
import marshal
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300_cli.deploy import layer_builder

from tests.support.trees import plant, planted

LAYERS = Path(__file__).parents[3] / "layers"
builder = layer_builder()
PLAN = builder.Plan.read()

# For each rule of trim.toml: what it takes out, and what looks like it and stays.
RULES: dict[str, tuple[list[str], list[str]]] = {
    "tests": (
        [
            "scipy/signal/tests/test_fir.py",
            "joblib/test/data.pkl",
            "sklearn/conftest.py",
            "numpy/_core/_multiarray_tests.cpython-313-x86_64-linux-gnu.so",
            "numpy/_core/_simd.cpython-313-aarch64-linux-gnu.so",
            "scipy/integrate/_test_multivariate.cpython-313-x86_64-linux-gnu.so",
        ],
        ["numpy/testing/__init__.py", "sklearn/utils/_testing.py", "scipy/stats/_hypotests.py", "tests.py"],
    ),
    "compile-time": (
        [
            "numpy/_core/include/numpy/arrayobject.h",
            "scipy/linalg.pxd",
            "sklearn/tree/_tree.pyx.tp",
            "numpy/lib/libnpymath.a",
        ],
        ["numpy/f2py/__init__.py", "scipy/linalg/cython_blas.cpython-313-x86_64-linux-gnu.so", "mne/channels/a.csv"],
    ),
    "type stubs": (
        ["numpy/__init__.pyi", "wrapt-stubs/__init__.pyi", "scipy/py.typed"],
        ["mne/__init__.pyi", "mne/io/__init__.pyi"],
    ),
    "installer records": (
        ["mne-1.0.dist-info/RECORD", "mne-1.0.dist-info/INSTALLER", ".lock"],
        ["mne-1.0.dist-info/METADATA", "mne-1.0.dist-info/entry_points.txt", "mne-1.0.dist-info/licenses/LICENSE"],
    ),
    "scripts": (["bin/f2py", "share/man/man1/x.1"], ["wandb/bin/wandb-core", "scipy/share.py"]),
    "pyarrow remote and other formats": (
        [
            "pyarrow/libarrow_flight.so.2600",
            "pyarrow/_s3fs.cpython-313-x86_64-linux-gnu.so",
            "pyarrow/libarrow_python_parquet_encryption.so.2600",
            "pyarrow/_orc.cpython-313-x86_64-linux-gnu.so",
            "pyarrow/include/arrow/api.h",
        ],
        [
            "pyarrow/libarrow_substrait.so.2600",
            "pyarrow/libarrow_dataset.so.2600",
            "pyarrow/libarrow_acero.so.2600",
            "pyarrow/_fs.cpython-313-x86_64-linux-gnu.so",
            "pyarrow/_parquet.cpython-313-x86_64-linux-gnu.so",
        ],
    ),
    "pyarrow duplicate libraries": (
        ["pyarrow/libarrow_python.so", "pyarrow/libarrow_python.so.2600.1.0"],
        [
            "pyarrow/libarrow_python.so.2600",
            "pyarrow/libparquet.so.2600",
            "pyarrow/lib.cpython-313-x86_64-linux-gnu.so",
        ],
    ),
    "pyarrow JSON, Feather and query plans": (
        [
            "pyarrow/_json.cpython-313-x86_64-linux-gnu.so",
            "pyarrow/_feather.cpython-313-x86_64-linux-gnu.so",
            "pyarrow/_substrait.cpython-313-x86_64-linux-gnu.so",
        ],
        ["pyarrow/json.py", "pyarrow/_csv.cpython-313-x86_64-linux-gnu.so"],
    ),
    "MNE windows and commands": (
        ["mne/gui/_coreg.py", "mne/commands/mne_what.py"],
        ["mne/gui/__init__.py", "mne/commands/__init__.py", "mne/gui/__init__.pyi", "mne/viz/__init__.py"],
    ),
    "Matplotlib for its developers": (
        ["matplotlib/testing/compare.py", "matplotlib/sphinxext/roles.py"],
        ["matplotlib/pyplot.py", "matplotlib/tests.py"],
    ),
    "MNE head models and web pages": (
        [
            "mne/data/fsaverage/fsaverage-inner_skull-bem.fif",
            "mne/icons/mne_icon.png",
            "mne/html_templates/repr/raw.html.jinja",
        ],
        [
            "mne/data/__init__.py",
            "mne/html_templates/_templates.py",
            "mne/data/fsaverage/fsaverage-fiducials.fif",
            "mne/channels/data/montages/standard_1020.elc",
        ],
    ),
    "Matplotlib fonts and samples": (
        [
            "matplotlib/mpl-data/fonts/ttf/STIXGeneral.ttf",
            "matplotlib/mpl-data/fonts/ttf/DejaVuSans-Oblique.ttf",
            "matplotlib/mpl-data/fonts/afm/phvr8a.afm",
            "matplotlib/mpl-data/sample_data/goog.npz",
            "matplotlib/mpl-data/images/home.png",
        ],
        [
            "matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf",
            "matplotlib/mpl-data/fonts/ttf/DejaVuSans-Bold.ttf",
            "matplotlib/mpl-data/fonts/ttf/LastResortHE-Regular.ttf",
            "matplotlib/mpl-data/matplotlibrc",
            "matplotlib/mpl-data/stylelib/ggplot.mplstyle",
        ],
    ),
    "Matplotlib windows": (
        [
            "matplotlib/backends/backend_qtagg.py",
            "matplotlib/backends/backend_pdf.py",
            "matplotlib/backends/_tkagg.cpython-313-x86_64-linux-gnu.so",
            "matplotlib/backends/web_backend/js/mpl.js",
        ],
        [
            "matplotlib/backends/__init__.py",
            "matplotlib/backends/registry.py",
            "matplotlib/backends/backend_agg.py",
            "matplotlib/backends/_backend_agg.cpython-313-x86_64-linux-gnu.so",
            "mne/viz/backends/renderer.py",
        ],
    ),
    "Pillow formats and text": (
        [
            "PIL/_avif.cpython-313-x86_64-linux-gnu.so",
            "PIL/_imagingft.cpython-313-x86_64-linux-gnu.so",
            "pillow.libs/libavif-c6062d5f.so.16.4.2",
            "pillow.libs/libpng16-1d1ba958.so.16.58.0",
        ],
        [
            "PIL/_imaging.cpython-313-x86_64-linux-gnu.so",
            "PIL/PngImagePlugin.py",
            "PIL/ImageFont.py",
            "pillow.libs/libjpeg-6dc8d115.so.62.4.0",
            "pillow.libs/libtiff-20b7e810.so.6.3.0",
            "scipy.libs/libgfortran-040039e1.so.5.0.0",
        ],
    ),
    "scikit-learn example data": (
        ["sklearn/datasets/data/iris.csv", "sklearn/datasets/images/china.jpg"],
        ["sklearn/datasets/data/__init__.py", "sklearn/datasets/_base.py"],
    ),
    "pyRiemann plots": (
        ["pyriemann/stats.py", "pyriemann/utils/viz.py"],
        ["pyriemann/estimation.py", "scipy/stats.py"],
    ),
    "Matrix Market reader": (
        ["scipy/io/_fast_matrix_market/_fmm_core.cpython-313-x86_64-linux-gnu.so"],
        ["scipy/io/_fast_matrix_market/__init__.py"],
    ),
    "HiGHS": (["scipy/optimize/_highspy/_core.cpython-313-x86_64-linux-gnu.so"], ["scipy/optimize/_linprog_highs.py"]),
    "Orthogonal distance regression": (
        ["scipy/odr/__init__.py", "scipy/odr/__odrpack.cpython-313-x86_64-linux-gnu.so"],
        ["scipy/optimize/_minpack_py.py", "scipy/odr.py"],
    ),
    "Swagger page": (
        ["aws_lambda_powertools/event_handler/openapi/swagger_ui/swagger-ui.min.css"],
        ["aws_lambda_powertools/event_handler/openapi/swagger_ui/html.py"],
    ),
    "wandb readers of remote histories": (["wandb/bin/librust_parquet_ffi.so"], ["wandb/bin/wandb-core"]),
}


def test_every_rule_has_a_reason_and_a_case() -> None:
    assert {rule.name for rule in PLAN.rules} == set(RULES)
    assert all(entry.why for entry in (*PLAN.rules, *PLAN.edits))
    assert all(why for packages in PLAN.exclude.values() for why in packages.values())


@pytest.mark.parametrize("rule", PLAN.rules, ids=lambda rule: rule.name)
def test_rule_takes_out_what_it_names_and_nothing_else(rule: Any, tmp_path: Path) -> None:
    gone, stays = RULES[rule.name]
    plant(tmp_path, *gone, *stays)
    builder.trim(tmp_path, (rule,))
    assert planted(tmp_path) == set(stays)


@pytest.mark.parametrize("rule", PLAN.rules, ids=lambda rule: rule.name)
def test_no_rule_takes_out_what_another_keeps(rule: Any) -> None:
    kept_for_a_reason = {path for other in PLAN.rules if other.keep for path in RULES[other.name][1]}
    assert [path for path in kept_for_a_reason if rule.matches(path)] == []


def test_trim_removes_emptied_folders(tmp_path: Path) -> None:
    plant(tmp_path, "a/tests/deep/test_a.py", "b/__init__.py")
    builder.trim(tmp_path, PLAN.rules)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]


@pytest.mark.parametrize("layer", builder.THIRD_PARTY_LAYERS)
def test_exclusions_stand_in_the_lock(layer: str) -> None:
    lock = (LAYERS / layer / "requirements.txt").read_text()
    exclude = PLAN.exclude["every"] | PLAN.exclude[layer]
    selected = builder.select_requirements(lock, exclude)
    pinned = [line for line in lock.splitlines() if "==" in line and not line.lstrip().startswith("#")]
    kept = [line for line in selected.splitlines() if "==" in line and not line.lstrip().startswith("#")]
    assert kept == [line for line in pinned if line.partition("==")[0] not in exclude]
    assert selected.count("--hash=sha256:") >= len(kept) > 0


def test_stale_exclusion_is_named() -> None:
    with pytest.raises(builder.LayerBuildError, match=r"trim\.toml excludes pandas, which the lock does not hold"):
        builder.select_requirements("numpy==2.0 \\\n    --hash=sha256:00\n", {"pandas": "not needed"})


@given(st.sets(st.sampled_from(["numpy", "numpy-quaternion", "scipy", "mne", "python-dateutil", "six"])), st.randoms())
def test_selection_keeps_each_block_whole(exclude: set[str], random: Any) -> None:
    names = ["numpy", "numpy-quaternion", "scipy", "mne", "python-dateutil", "six"]
    random.shuffle(names)
    blocks = {
        name: f"{name}==1.0 \\\n    --hash=sha256:{name} \\\n    --hash=sha256:00\n    # via x\n" for name in names
    }
    lock = "# locked\n" + "".join(blocks.values())
    expected = "".join(block for name, block in blocks.items() if name not in exclude)
    assert builder.select_requirements(lock, dict.fromkeys(exclude, "why")) == expected


def test_equal_trees_give_equal_bytes(tmp_path: Path) -> None:
    paths = ["b/x.py", "b/a.py", "b.py", "a/z.txt"]
    archives = []
    for number, order in enumerate(itertools.islice(itertools.permutations(paths), 0, 24, 11)):
        tree = tmp_path / str(number)
        plant(tree / "python", *order, content="x = {'a', 'b', 'c'}\n")
        (tree / "python" / "b.py").chmod(0o700 if number else 0o755)
        (tree / "python" / "a" / "z.txt").chmod(0o600 if number else 0o664)
        builder.compile_bytecode(tree / "python", keep_source=True)
        builder.make_reproducible(tree / "python")
        archives.append(builder.zip_tree(tree, tmp_path / f"{number}.zip").read_bytes())
    assert len(set(archives)) == 1


def test_zip_holds_the_tree(tmp_path: Path) -> None:
    plant(tmp_path / "tree", "python/a.py", content="a" * 1000)
    with zipfile.ZipFile(builder.zip_tree(tmp_path / "tree", tmp_path / "x.zip")) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.date_time) == ("python/a.py", (1980, 1, 1, 0, 0, 0))
        assert archive.read(entry) == b"a" * 1000


@pytest.fixture
def layers_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one third-party layer whose installation writes a module."""
    folder = tmp_path / "project" / "layers"
    plant(folder, "build.py", "p300/python/p300/__init__.py", "serving/requirements.txt")
    (folder / "trim.toml").write_text((LAYERS / "trim.toml").read_text())
    lock = "".join(
        f"{name}==1.0 \\\n    --hash=sha256:00\n"
        for name in ("numpy", *PLAN.exclude["every"], *PLAN.exclude["serving"])
    )
    (folder / "serving" / "requirements.txt").write_text(lock)
    monkeypatch.setattr(builder, "LAYERS_DIR", folder)
    monkeypatch.setattr(builder, "__file__", str(folder / "build.py"))
    monkeypatch.delenv("P300_LAYER_CACHE", raising=False)
    return folder


def test_second_build_comes_from_the_cache_until_an_input_changes(
    layers_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = []

    def install(lock: str, target: Path, arch: str) -> None:
        installed.append((lock, arch))
        plant(target, "numpy/__init__.py", "numpy/tests/test_a.py")

    monkeypatch.setattr(builder, "install", install)
    first = builder.build_layer("serving", tmp_path / "out", strip=False)
    assert planted(tmp_path / "out") == {"python/numpy/__init__.pyc"}
    assert installed == [("numpy==1.0 \\\n    --hash=sha256:00\n", "x86_64")]
    second = builder.build_layer("serving", strip=False)
    assert (len(installed), second.inputs_sha256, second.size_bytes) == (1, first.inputs_sha256, first.size_bytes)
    assert second.path.parent == layers_dir.parent / ".local" / "layers"
    (layers_dir / "trim.toml").open("a").write("# changed\n")
    assert builder.build_layer("serving", strip=False).inputs_sha256 != first.inputs_sha256
    assert builder.build_layer("serving", arch="arm64", strip=False).arch == "arm64"
    assert [arch for _, arch in installed] == ["x86_64", "x86_64", "arm64"]


def test_cache_keeps_a_few_versions(layers_dir: Path) -> None:
    for number in range(builder.KEPT_VERSIONS + 2):
        (layers_dir / "p300/python/p300/__init__.py").write_text(f"NUMBER = {number}\n")
        newest = builder.build_layer("p300")
    kept = list(newest.path.parent.iterdir())
    assert newest.path in kept
    assert len(kept) == builder.KEPT_VERSIONS


def test_own_layer_holds_source_and_bytecode_but_no_leftovers(layers_dir: Path, tmp_path: Path) -> None:
    plant(layers_dir, "p300/python/p300/__pycache__/old.cpython-313.pyc", "p300/python/p300/py.typed")
    before = builder.build_layer("p300", tmp_path / "out")
    plant(layers_dir, "p300/python/p300/__pycache__/other.cpython-313.pyc")
    assert builder.build_layer("p300").inputs_sha256 == before.inputs_sha256
    assert planted(tmp_path / "out/python") == {
        "p300/__init__.py",
        "p300/py.typed",
        "p300/__pycache__/__init__.cpython-313.pyc",
    }
    bytecode = (tmp_path / "out/python/p300/__pycache__/__init__.cpython-313.pyc").read_bytes()
    assert bytecode[4:8] == b"\x01\0\0\0"
    assert marshal.loads(bytecode[16:]).co_filename == "/opt/python/p300/__init__.py"  # noqa: S302


@pytest.mark.parametrize(
    ("name", "arch", "message"),
    [
        ("signals", "x86_64", "layer 'signals' is unknown; expected one of p300, pipeline, signal"),
        ("signal", "arm", "architecture 'arm'"),
    ],
)
def test_unknown_names_are_refused(name: str, arch: str, message: str) -> None:
    with pytest.raises(builder.LayerBuildError, match=message):
        builder.build_layer(name, arch=arch)


def test_a_layer_over_the_limit_is_refused(layers_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (layers_dir / "p300/python/p300/__init__.py").write_text("NAME = 'p300'\n")
    monkeypatch.setattr(builder, "UNZIPPED_LIMIT_BYTES", 10)
    with pytest.raises(builder.LayerBuildError, match=r"layer p300 for x86_64 has \d+ bytes unzipped, Lambda takes 10"):
        builder.build_layer("p300")


def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "RUNTIME_PYTHON", (3, 99))
    with pytest.raises(
        builder.LayerBuildError, match=r"bytecode for Python 3\.99, this is 3\.13: run it with python3\.99"
    ):
        builder.build_layer("p300")


def test_command_builds_into_the_folder_and_tells_the_size(
    layers_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert builder.main(["p300", "--output", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]) == 0
    assert "of Lambda's limit" in capsys.readouterr().out
    assert (tmp_path / "out/python/p300/__init__.py").exists()
    assert not (layers_dir.parent / ".local").exists()


def test_command_fails_with_the_reason(layers_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (layers_dir / "serving" / "requirements.txt").write_text("numpy==1.0\n")
    assert builder.main(["serving", "--output", str(tmp_path / "out")]) == 1
    assert "trim.toml excludes botocore" in capsys.readouterr().err
