"""The page of a recording: its figures, its picture and what was assumed, in one HTML file that needs nothing else."""

import base64
from pathlib import Path
from typing import Any

from p300.chance import in_words
from p300.errors import TrainingError
from p300.evaluation import within_recording
from p300.features import FeatureSet
from p300.models import RecordingEpochs

TEMPLATE = Path(__file__).with_name("page.html.jinja")
UNITS = {
    **dict.fromkeys(("l_freq", "h_freq", "notch_freq", "sfreq"), " Hz"),
    **dict.fromkeys(("tmin", "tmax", "baseline"), " s"),
    "reject_peak_to_peak_uv": " µV",
}


def single_trial(feature_set: FeatureSet, recording: str) -> dict[str, Any]:
    """Tell how well single flashes of the recording can be told apart.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of the recording.
    recording : str
        ``<subject>/<recording>``.

    Returns
    -------
    dict
        ``roc_auc`` and ``sd`` over blocks of time left out in turn, ``blocks`` (block to AUC), ``chance`` as
        `p300.chance.against_chance` returns; or all None, and ``why``, where there are too few epochs.
    """
    epochs = RecordingEpochs(
        recording,
        recording.partition("/")[0],
        feature_set.X,
        feature_set.label,
        len(feature_set.ch_names),
        ch_names=feature_set.ch_names,
    )
    try:
        figures = within_recording(epochs)
    except TrainingError as error:
        return {"roc_auc": None, "sd": None, "blocks": {}, "chance": None, "why": error.message}
    return {
        "roc_auc": figures["mean"]["roc_auc"],
        "sd": figures["sd"]["roc_auc"],
        "blocks": {name: block["roc_auc"] for name, block in figures["blocks"].items()},
        "chance": figures["chance"],
        "why": "",
    }


def render(recording: str, facts: dict[str, Any], auc: dict[str, Any], picture: bytes) -> str:
    """Return the page.

    Parameters
    ----------
    recording : str
        ``<subject>/<recording>``.
    facts : dict
        The recording's ``report.json``.
    auc : dict
        What :func:`single_trial` returned.
    picture : bytes
        A PNG.

    Returns
    -------
    str
        HTML; whatever comes from a file or a key is escaped.
    """
    from jinja2 import Environment, StrictUndefined

    # Escaping is for every value, whatever the template's name ends in.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    return template.render(
        recording=recording,
        facts=facts,
        units=UNITS,
        auc=auc,
        chance=in_words(auc["chance"]) if auc["chance"] else "",
        picture=base64.b64encode(picture).decode(),
        most_rejected=max([*facts["rejected_by_channel"].values(), 1]),
    )
