"""Ask the API about recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from p300_cli.commands.options import Alias, Json, SubjectModel
from p300_cli.terminal import fail, note, out, print_json, progress_of, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

app = typer.Typer()
LAYOUTS_HELP = "speller (6 x 6, columns first), brain_invaders, or a JSON file as POST /decode takes it."
Layout = Annotated[str, typer.Option(help=LAYOUTS_HELP)]
Confidence = Annotated[float, typer.Option(min=0.01, max=0.9999, help="Stop flashing when a symbol is this likely.")]
Plot = Annotated[Path | None, typer.Option(help="PNG to draw accuracy against repetitions to.")]


@app.command()
def predict(
    recording: Annotated[str, typer.Argument(help="<subject>/<recording> whose features are in the features bucket.")],
    alias: Alias = None,
    subject_model: SubjectModel = None,
    as_json: Json = False,
) -> None:
    """Ask the API for every flash of a recording and compare with its labels."""
    from p300.metrics import classification_metrics
    from p300_client.api import Api, load_features
    from p300_client.session_scores import session_scores
    from p300_client.simulating import manifest_for

    from p300_cli.targets import current

    one_model(alias, subject_model)
    target = current()
    features = load_features(target, recording)
    manifest_for(target, features.ch_names, alias)  # there is no such model: said before anything is asked
    api = Api(target)
    probability, version = api.predict(features.X, alias, note, channels=features.ch_names, subject=subject_model)
    if not features.labelled:
        show_unlabelled(recording, version, probability, as_json=as_json)
        return
    figures = classification_metrics(features.label, probability)
    session = session_scores(api, features, alias, subject_model)
    of_session = None if session.probability is None else classification_metrics(features.label, session.probability)
    if as_json:
        document = {
            "recording": recording,
            "model_version": version,
            "probability_target": probability.tolist(),
            **figures,
        }
        if session.probability is not None and of_session:
            scores = {"score": "session", "probability_target": session.probability.tolist()}
            document["session"] = {**scores, **of_session}
        print_json(document)
        return
    names = ["n_epochs", "roc_auc", "average_precision", "balanced_accuracy", "accuracy", "kappa", "brier"]
    rows = [["each flash on its own", *(figures[name] for name in names)]]
    if of_session:
        rows.append(["whole session known", *(of_session[name] for name in names)])
    else:
        note(f"no score of the whole session: {session.why_not}")
    out.print(table(f"{recording}, model {version}", ["score", *names], rows))


def one_model(alias: str | None, subject_model: str | None) -> None:
    """End the command where its options name two models."""
    if alias and subject_model:
        fail("--alias and --subject-model name two models: give one of them.", 2)


def show_unlabelled(recording: str, version: str, probability: "NDArray[np.float64]", *, as_json: bool) -> None:
    """Print what the model says of an unlabelled recording: there are no labels to compare with."""
    if as_json:
        document = {"recording": recording, "model_version": version, "labelled": False}
        print_json({**document, "probability_target": probability.tolist()})
        return
    out.print(
        f"{recording}, model {version}: {len(probability):,} flashes, mean probability of Target {probability.mean():.3f}"
    )
    note(f"{recording} is unlabelled: there is nothing to compare with. `p300 decode {recording}` decodes its symbols")


@app.command()
def simulate(
    subjects: Annotated[
        list[str], typer.Argument(help="Subjects whose recordings are replayed.", metavar="SUBJECT...")
    ],
    alias: Alias = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Speed relative to the recordings.")] = 1.0,
    fast: Annotated[bool, typer.Option("--fast", help="As fast as possible.")] = False,
    layout: Layout = "speller",
    confidence: Confidence = 0.9,
    seen: Annotated[bool, typer.Option("--seen", help="Include subjects that the model was trained on.")] = False,
    plot: Plot = None,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Log the batch to Weights & Biases.")] = True,
    as_json: Json = False,
) -> None:
    """Replay recordings flash by flash against the API, as in a live session: labels, symbols, bits per minute."""
    from p300_client import simulating
    from p300_client.paths import STATE
    from p300_client.sessions import screen

    from p300_cli import simulated
    from p300_cli.targets import current

    target, shown = current(), screen(layout)
    manifest = simulating.manifest_of_subjects(target, subjects, alias)
    found = simulating.sessions(target, subjects, manifest, shown, seen=seen, notify=note)
    requests = simulating.requests_to(target, manifest["version"], note)
    pace = 0.0 if fast else rate
    with progress_of("simulating") as progress:
        replayed = simulating.simulate(requests, found, shown, rate=pace, confidence=confidence, progress=progress)
    trained_on = simulating.seen_in_training(subjects, manifest)
    how = {"rate": pace, "confidence": confidence, "layout": dict(shown.stated), "seen_in_training": trained_on}
    document = simulating.report(replayed, requests, shown, how)
    picture = plot or STATE / "plots" / f"{manifest['version']}-{'-'.join(subjects)[:80]}.png"
    drawn = simulated.draw(document, picture)
    simulated.show(document, picture if drawn else None, as_json=as_json)
    if track:
        simulated.log(target, document, replayed)


@app.command()
def decode(
    recording: Annotated[str, typer.Argument(help="A recording's file, or <subject>/<recording> in the raw zone.")],
    alias: Alias = None,
    subject_model: SubjectModel = None,
    layout: Annotated[
        str | None,
        typer.Option(help=f"{LAYOUTS_HELP} Default: what the recording's sidecar says, or its file, or speller."),
    ] = None,
    confidence: Confidence = 0.9,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Decode the symbols of one recording through the API, and how many repetitions they needed."""
    from p300_client import decoding, simulating
    from p300_client.paths import STATE
    from p300_client.sessions import read, screen

    from p300_cli import decoded
    from p300_cli.targets import current

    one_model(alias, subject_model)
    target = current()
    manifest = simulating.manifest_of_recording(target, recording, alias)
    requests = simulating.requests_to(target, manifest["version"], note)
    if subject_model:
        manifest, requests = simulating.requests_about(target, manifest, subject_model, note)
    session = read(target, recording, manifest, screen(layout) if layout else None)
    note(f"speller layout of {len(session.shown.layout.symbols)} symbols: {session.shown.source}")
    if simulating.learned_from(manifest, session.name):
        note(f"{manifest['version']} learned from {session.name}: what it spells there says little of other sessions")
    with progress_of("decoding") as progress:
        document = decoding.decode(requests, session, session.shown, confidence, progress)
    name = f"{manifest['version']}-{session.name}".replace("/", "-")
    picture = plot or STATE / "plots" / f"{name}.png"
    decoded.show(document, confidence, picture, as_json=as_json)
