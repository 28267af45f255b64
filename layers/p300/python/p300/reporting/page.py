"""The page of a recording: the verdict, what it rests on and what was assumed, in one HTML file that needs nothing else."""

from pathlib import Path
from typing import Any

from p300.chance import in_words
from p300.reporting.assets import POLICY, SCRIPT, STYLE
from p300.reporting.verdict import Finding

TEMPLATE = Path(__file__).with_name("page.html.jinja")
UNITS = {
    **dict.fromkeys(("l_freq", "h_freq", "notch_freq", "sfreq"), " Hz"),
    **dict.fromkeys(("tmin", "tmax", "baseline"), " s"),
    "reject_peak_to_peak_uv": " µV",
}


def render(recording: str, facts: dict[str, Any], finding: Finding, views: dict[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    recording : str
        ``<subject>/<recording>``.
    facts : dict
        The recording's ``report.json``.
    finding : Finding
        The verdict.
    views : dict
        What `p300.reporting.views.views` returned.

    Returns
    -------
    str
        HTML; whatever comes from a file or a key is escaped.
    """
    chance = finding.single_flash["chance"]
    return filled(
        TEMPLATE,
        recording=recording,
        facts=facts,
        verdict=finding.facts,
        auc=finding.single_flash,
        chance=in_words(chance) if chance else "",
        views=views,
        most_rejected=max([*facts["rejected_by_channel"].values(), 1]),
        script=SCRIPT,
    )


def filled(template: Path, **values: Any) -> str:
    """Return a template's HTML: whatever the values hold is escaped, but for charts, which escape what they are given.

    Parameters
    ----------
    template : Path
        Its file.
    **values
        What it takes beside the units, the policy and the style of every report.

    Returns
    -------
    str
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    # Escaping is for every value, whatever the template's name ends in.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["drawn"] = Markup
    return environment.from_string(template.read_text("utf-8")).render(
        units=UNITS, policy=POLICY, style=STYLE, **values
    )
