"""Options that several commands have."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
ALIAS_HELP = (
    "champion, champion_<montage>, challenger or a version. By default the champion that has the recording's channels."
)
Alias = Annotated[str | None, typer.Option(help=ALIAS_HELP)]
SubjectModel = Annotated[
    str | None,
    typer.Option(help="Ask the personal model of this subject (subject_07) where there is one, else the population's."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Follow the executions until they end.")]
