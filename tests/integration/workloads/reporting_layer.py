"""What reporting may ask of its layer: parquet in, averages, maps of the head and curves as PNGs, linear algebra, a page."""

import io
import warnings
from pathlib import Path

import mne
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.linalg
import scipy.linalg.blas
import scipy.sparse
import scipy.sparse.csgraph
import scipy.special
from aws_lambda_powertools import Logger, Metrics, Tracer
from jinja2 import Environment
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from PIL import Image

CHANNELS = ["Fz", "Cz", "Pz", "Oz", "P7", "P8"]


def main() -> None:
    values = np.random.default_rng(0).normal(size=(len(CHANNELS), 50)).astype(np.float32)
    sink = io.BytesIO()
    pq.write_table(pa.table({"features": pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 50)}), sink)
    column = pq.ParquetFile(sink).read()["features"].combine_chunks()
    assert np.array_equal(column.values.to_numpy().reshape(values.shape), values)

    covariance = np.cov(values) + np.eye(len(CHANNELS))
    assert np.allclose(covariance @ scipy.linalg.solve(covariance, values, assume_a="pos"), values, atol=1e-5)
    assert scipy.linalg.blas.dsyrk(1.0, covariance).shape == covariance.shape

    figure = Figure(figsize=(6, 3), dpi=50)
    FigureCanvasAgg(figure)
    lines, head = figure.subplots(1, 2)
    lines.fill_between(range(50), values[0] - 1, values[0] + 1)
    lines.set_title("µV ± Ω 日本", weight="bold")
    info = mne.create_info(CHANNELS, 100.0, "eeg", verbose="error")
    info.set_montage("colin27_1005", verbose="error")
    mask = values[:, 0] > 0
    image, _ = mne.viz.plot_topomap(
        values[:, 0], info, axes=head, vlim=(-2, 2), extrapolate="local", mask=mask, show=False
    )
    with mne.use_log_level("error"):
        adjacency, _ = mne.channels.find_ch_adjacency(info, "eeg")
    n_parts, _ = scipy.sparse.csgraph.connected_components(scipy.sparse.coo_array(adjacency), directed=False)
    assert n_parts == 1
    assert 1.9 < scipy.special.stdtrit(1000, 0.975) < 2.0
    pixels = io.BytesIO()
    Image.fromarray(colormaps["RdBu_r"](values / 5 + 0.5, bytes=True)[:, :, :3]).save(pixels, format="png")
    assert pixels.getvalue().startswith(b"\x89PNG")
    figure.colorbar(image, ax=head)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    assert png.getvalue().startswith(b"\x89PNG")

    curve = Figure(figsize=(6, 3), dpi=50, layout="constrained")
    FigureCanvasAgg(curve)
    axes = curve.add_subplot()
    axes.errorbar([1, 2], [0.6, 0.7], yerr=0.1, label="± 1 standard error")
    axes.set_xscale("log", base=2)
    curve.legend(loc="outside lower left")
    png = io.BytesIO()
    curve.savefig(png, format="png")
    assert png.getvalue().startswith(b"\x89PNG")
    assert Path(findfont("sans", fallback_to_default=True)).name == "DejaVuSans.ttf"

    assert Environment(autoescape=True).from_string("{{ x }}").render(x="<b>") == "&lt;b&gt;"
    assert Logger(service="x") and Tracer(service="x", disabled=True) and Metrics(service="x", namespace="x")


with warnings.catch_warnings():
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the font has no Japanese: boxes, no failure
    main()
