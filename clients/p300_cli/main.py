"""The ``p300`` command: every subcommand, its options, and nothing else."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from p300.errors import P300Error

from p300_cli.terminal import fail, note, out, print_json

if TYPE_CHECKING:
    from p300_cli.target import Target

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
Paths = Annotated[list[Path], typer.Argument(help="Recordings, or folders of them.")]


def _show_version(asked: bool) -> None:
    if asked:
        from p300 import __version__

        print(f"p300 {__version__}")
        raise typer.Exit


@app.callback()
def every_command(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """P300 recordings through a serverless pipeline, on LocalStack or AWS."""


def main() -> None:
    """Run the command."""
    from p300_cli.errors import run_command

    run_command(app)


@app.command()
def run(
    recordings: Annotated[
        list[Path] | None, typer.Argument(help="Folders of recordings; synthetic ones without.")
    ] = None,
) -> None:
    """Start LocalStack, deploy, land recordings, follow them, predict (what `make run` does)."""
    from p300_cli.localstack import stack_lock
    from p300_cli.run import run as run_all
    from p300_cli.target import local

    with stack_lock(target := local()):
        run_all(target, recordings or [])


@app.command()
def up() -> None:
    """Start LocalStack on this machine and deploy the stack."""
    from p300_cli import localstack
    from p300_cli.target import local

    with localstack.stack_lock(target := local()):
        localstack.up(target)
        _deploy(target, {})


@app.command()
def down(
    everything: Annotated[bool, typer.Option("--all", help="On every port that this checkout uses.")] = False,
) -> None:
    """Stop the LocalStack that `p300 up` or `p300 run` started; its buckets are gone with it."""
    from p300_cli import localstack, servers
    from p300_cli.target import local

    if everything:
        note(f"stopped {localstack.down_all()}")
    elif localstack.down(target := local()):
        note("stopped")
    else:
        other = f"; {target.endpoint} belongs to {servers.occupant(target.port)}" if servers.taken(target.port) else ""
        note(f"nothing was running that this checkout started{other}")


@app.command()
def deploy(
    parameter: Annotated[
        list[str] | None, typer.Option(help="Template parameter, Name=Value; may be repeated.")
    ] = None,
) -> None:
    """Build what changed and put it on LocalStack (AWS: `sam build && sam deploy --config-env aws`)."""
    from p300.signals import Parameters

    from p300_cli import localstack
    from p300_cli.target import local

    pairs = [text.partition("=") for text in parameter or []]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        fail(f"--parameter {wrong[0]}: expected Name=Value.", 2)
    parameters = {name: value for name, _, value in pairs}
    try:
        Parameters.from_json(parameters.get("Preprocessing", ""))
    except P300Error as error:
        fail(error.message, 2)
    with localstack.stack_lock(target := local()):
        localstack.expect(target)
        _deploy(target, parameters)


def _deploy(target: "Target", parameters: dict[str, str]) -> None:
    from p300_cli.deploy import deploy as deploy_stack
    from p300_cli.deploy import describe

    began = time.monotonic()
    describe(target, deploy_stack(target, parameters), time.monotonic() - began)


@app.command()
def layers(folder: Annotated[Path, typer.Argument(help="Folder that Docker mounts as /opt.")]) -> None:
    """Build all layers into one folder, for LocalStack in Docker (`make layers`)."""
    from p300_cli.deploy import merge_layers

    merge_layers(folder)


@app.command()
def land(
    paths: Paths,
    subject: Annotated[str | None, typer.Option(help="subject_<n>, where folders and names do not tell.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the executions until they end.")] = False,
) -> None:
    """Put recordings into the landing zone; each starts an execution."""
    from p300_pipeline.keys import is_recording

    from p300_cli import landing, watching
    from p300_cli.run import show_executions
    from p300_cli.target import current

    target = current()
    since = datetime.now(UTC).replace(microsecond=0)
    uploads = landing.land(target, landing.find(paths, subject))
    note(
        f"landed {sum(is_recording(upload.key) for upload in uploads)} recordings in s3://{target.outputs['LandingBucketName']}"
    )
    if wait:
        executions = watching.follow(target, since, uploads)
        show_executions(executions)
        if any(execution.status != "SUCCEEDED" for execution in executions):
            raise typer.Exit(1)


@app.command()
def watch(
    everything: Annotated[bool, typer.Option("--all", help="Also the executions that have ended.")] = False,
) -> None:
    """Follow the executions that run, until none does."""
    from p300_cli import watching
    from p300_cli.run import show_executions
    from p300_cli.target import current

    began = datetime.now(UTC)
    executions = watching.follow(current(), datetime.min.replace(tzinfo=UTC))
    show_executions([one for one in executions if everything or one.stopped is None or one.stopped >= began])


@app.command()
def predict(
    recording: Annotated[str, typer.Argument(help="<subject>/<recording> whose features are in the features bucket.")],
    alias: Annotated[str, typer.Option(help="champion, challenger or a version.")] = "champion",
    as_json: Json = False,
) -> None:
    """Ask the API for every flash of a recording and compare with its labels."""
    from p300.metrics import classification_metrics

    from p300_cli import predicting
    from p300_cli.target import current
    from p300_cli.terminal import table

    target = current()
    features = predicting.load_features(target, recording)
    probability, version = predicting.Api(target).predict(features, alias)
    figures = classification_metrics(features.label, probability)
    if as_json:
        print_json(
            {"recording": recording, "model_version": version, "probability_target": probability.tolist(), **figures}
        )
        return
    names = ["n_epochs", "roc_auc", "average_precision", "balanced_accuracy", "accuracy", "kappa", "brier"]
    out.print(table(f"{recording}, model {version}", names, [[figures[name] for name in names]]))


Alias = Annotated[str, typer.Option(help="champion, challenger or a version.")]
Layout = Annotated[
    str, typer.Option(help="speller (6 x 6, columns first), brain_invaders, or a JSON file as POST /decode takes it.")
]
Confidence = Annotated[float, typer.Option(min=0.01, max=0.9999, help="Stop flashing when a symbol is this likely.")]
Plot = Annotated[Path | None, typer.Option(help="PNG to draw accuracy against repetitions to.")]


@app.command()
def simulate(
    subjects: Annotated[
        list[str], typer.Argument(help="Subjects whose recordings are replayed.", metavar="SUBJECT...")
    ],
    alias: Alias = "champion",
    rate: Annotated[float, typer.Option(min=0.1, help="Times the recordings' own pace.")] = 1.0,
    fast: Annotated[bool, typer.Option("--fast", help="As fast as it goes.")] = False,
    layout: Layout = "speller",
    confidence: Confidence = 0.9,
    seen: Annotated[bool, typer.Option("--seen", help="Also subjects that the model was trained on.")] = False,
    plot: Plot = None,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Log the batch to Weights & Biases.")] = True,
    as_json: Json = False,
) -> None:
    """Replay recordings flash by flash against the API, as a session would run: labels, symbols, bits per minute."""
    from p300_cli import simulating
    from p300_cli.paths import STATE
    from p300_cli.sessions import screen
    from p300_cli.target import current

    target, shown = current(), screen(layout)
    manifest = simulating.manifest_of(target, alias)
    found = simulating.sessions(target, subjects, manifest, shown, seen=seen)
    requests = simulating.requests_to(target, manifest["version"])
    pace = 0.0 if fast else rate
    replayed = simulating.simulate(requests, found, shown, rate=pace, confidence=confidence)
    trained_on = sorted(set(subjects) & set(manifest["subjects"]))
    how = {"rate": pace, "confidence": confidence, "layout": dict(shown.stated), "seen_in_training": trained_on}
    document = simulating.report(replayed, requests, shown, how)
    picture = plot or STATE / "plots" / f"{manifest['version']}-{'-'.join(subjects)[:80]}.png"
    drawn = simulating.draw(document, picture)
    simulating.show(document, picture if drawn else None, as_json=as_json)
    if track:
        simulating.log(target, document, replayed)


@app.command()
def decode(
    recording: Annotated[str, typer.Argument(help="A recording's file, or <subject>/<recording> of the raw data.")],
    alias: Alias = "champion",
    layout: Layout = "speller",
    confidence: Confidence = 0.9,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Decode the symbols of one recording through the API, and how many repetitions they needed."""
    from p300_cli import decoding, simulating
    from p300_cli.paths import STATE
    from p300_cli.sessions import read, screen
    from p300_cli.target import current

    target, shown = current(), screen(layout)
    manifest = simulating.manifest_of(target, alias)
    session = read(target, recording, manifest, shown)
    document = decoding.decode(simulating.requests_to(target, manifest["version"]), session, shown, confidence)
    picture = plot or STATE / "plots" / f"{manifest['version']}-{session.name.replace('/', '-')}.png"
    decoding.show(document, confidence, picture, as_json=as_json)


models_app = typer.Typer(help="Model versions.", invoke_without_command=True)
app.add_typer(models_app, name="models")


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the model versions with their figures."""
    from p300_cli.models import show_models
    from p300_cli.target import current

    if context.invoked_subcommand is None:
        show_models(current(), as_json=as_json)


@models_app.command("show")
def show_one_model(
    version: Annotated[str, typer.Argument(help="A version, champion or challenger.")] = "champion",
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open its pictures.")] = True,
    as_json: Json = False,
) -> None:
    """Show one version's figures beside the plain LDA's, its promotions, and its pictures."""
    from p300_cli import reports
    from p300_cli.model import show_model
    from p300_cli.models import registry
    from p300_cli.paths import STATE
    from p300_cli.target import current

    pictures = show_model(registry(current()), version, STATE / "models", as_json=as_json)
    if browser and not as_json:
        reports.show(pictures)


@app.command()
def promote(
    version: Annotated[str | None, typer.Argument(help="Version to serve from now on.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Back to the champion before this one.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even a version that is at chance.")] = False,
) -> None:
    """Make a version the champion, even one that is worse; the API serves it within seconds."""
    from p300_cli.models import at_chance, registry
    from p300_cli.models import promote as promote_version
    from p300_cli.target import current

    if (version is None) != rollback:
        fail("Name a version, or say --rollback.", 2)
    target = current()
    champion, replaced = promote_version(target, version, force=force)
    print(champion)
    note(f"{champion} is the champion instead of {replaced or 'none'}{at_chance(registry(target), champion)}")


@app.command()
def reproduce(
    version: Annotated[str, typer.Argument(help="A version, champion or challenger.")] = "champion",
    as_json: Json = False,
) -> None:
    """Make a version again from its raw recordings, on this machine, and compare: exit code 0 where it is the same to the bit."""
    from p300_cli import reproducing
    from p300_cli.target import current

    found = reproducing.reproduce_version(current(), version)
    reproducing.show(found, as_json=as_json)
    if not found.same:
        raise typer.Exit(1)


@app.command()
def train(
    subjects: Annotated[
        str, typer.Option(help="Fraction of the subjects (0.5), or names: subject_01,subject_02.")
    ] = "1.0",
    held_out: Annotated[str, typer.Option(help="Subjects never trained on, separated by commas.")] = "",
    model: Annotated[str, typer.Option(help="Kind of model; the stack's default without.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Ask for a training now and follow it."""
    from p300_cli.run import show_executions
    from p300_cli.target import current
    from p300_cli.training import parse_request, request_training

    execution = request_training(current(), parse_request(subjects, held_out, model, seed))
    show_executions([execution])
    if execution.status != "SUCCEEDED":
        raise typer.Exit(1)


@app.command()
def track(
    sync: Annotated[bool, typer.Option("--sync", help="Send them to Weights & Biases (WANDB_API_KEY).")] = False,
    folder: Annotated[Path, typer.Option(help="Where the run folders go.")] = Path("wandb"),
) -> None:
    """Fetch the offline Weights & Biases runs from the models bucket, and send them with --sync."""
    from p300_cli.target import current
    from p300_cli.tracking import fetch_runs, sync_runs

    runs = fetch_runs(current(), folder)
    if sync:
        sync_runs(runs)


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="<subject>, or <subject>/<recording>.")],
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
) -> None:
    """Fetch a recording's report, open it and print where it lies."""
    from p300_cli import reports
    from p300_cli.paths import STATE
    from p300_cli.target import current

    paths = reports.download(current(), name, STATE / "reports")
    if browser:
        reports.show(paths)
    for path in paths:
        print(path)


@app.command()
def backfill() -> None:
    """Make all features and reports anew that the stack's preprocessing parameters, or its code, have outdated."""
    from p300_cli import backfilling
    from p300_cli.target import current

    result = backfilling.backfill(current())
    backfilling.show(result)
    if not result.succeeded:
        raise typer.Exit(1)


@app.command()
def retry(
    names: Annotated[
        list[str] | None, typer.Argument(help="Executions or landing keys; all that failed and may work now without.")
    ] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Show what failed and start nothing.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Take the named off the queue of failed inputs instead.")
    ] = False,
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Also recordings in landing or without features, whose events were lost."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the executions until they end.")] = False,
    as_json: Json = False,
) -> None:
    """Start again what failed in the last 14 days: executions, inputs in the queue, events that started nothing."""
    from p300_cli import retrying, watching
    from p300_cli.failures import Way
    from p300_cli.run import show_executions
    from p300_cli.target import current

    if drop and not names:
        fail("--drop wants names: `p300 retry --list` shows them.", 2)
    if unfinished and (drop or only_list or names):
        fail("--unfinished starts whatever is not finished: it goes with no names, --list or --drop.", 2)
    target = current()
    since = datetime.now(UTC).replace(microsecond=0)
    done = retrying.retry(target, names or [], only_list=only_list, drop=drop)
    retrying.show(done, as_json=as_json)
    arns = {arn for failure, arn in done if arn and failure.way is not Way.BACKFILL}
    if unfinished:
        lost = retrying.start_unfinished(target, {failure.source for failure, _ in done})
        note(f"{len(lost)} recordings were not finished and had no execution that failed: started")
        arns |= set(lost)
    if wait and arns:
        executions = watching.follow(
            target,
            since,
            until=lambda watcher: all(arn in watcher.executions and watcher.executions[arn].ended for arn in arns),
        )
        executions = [execution for execution in executions if execution.arn in arns]
        if not as_json:
            show_executions(executions)
        if any(execution.status != "SUCCEEDED" for execution in executions):
            raise typer.Exit(1)


quarantine_app = typer.Typer(help="What is no recording: list, release, drop.", no_args_is_help=True)
app.add_typer(quarantine_app, name="quarantine")
Held = Annotated[
    list[str] | None,
    typer.Argument(help="Keys as `p300 quarantine list` shows them, or the landing keys they came as."),
]
All = Annotated[bool, typer.Option("--all", help="Everything that is in quarantine.")]


@quarantine_app.command("list")
def quarantine_list(as_json: Json = False) -> None:
    """Show what is in quarantine, and why."""
    from p300_cli import quarantine
    from p300_cli.target import current

    target = current()
    found = quarantine.find_quarantined(quarantine.store_of(target), target.outputs["RawBucketName"])
    quarantine.show(found, as_json=as_json)


@quarantine_app.command("release")
def quarantine_release(
    names: Held = None,
    everything: All = False,
    to: Annotated[str | None, typer.Option(help="Another landing key, subject_<n>/<recording>.<ext>.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Even in place of a recording that the raw data holds.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the executions until they end.")] = False,
    as_json: Json = False,
) -> None:
    """Move objects back to the landing zone, after a fix or under another key; each starts an execution."""
    from p300_cli import quarantine, watching
    from p300_cli.run import show_executions
    from p300_cli.target import current

    target = current()
    store, landing, raw = (
        quarantine.store_of(target),
        target.outputs["LandingBucketName"],
        target.outputs["RawBucketName"],
    )
    chosen = quarantine.choose(quarantine.find_quarantined(store, raw), names or [], everything=everything)
    if to and len(chosen) != 1:
        fail(f"--to names one landing key, but {len(chosen)} files are to be released.", 2)
    since = datetime.now(UTC).replace(microsecond=0)
    uploads = [quarantine.release(store, landing, raw, held, to=to, replace=replace) for held in chosen]
    note(f"released {len(uploads)} to s3://{landing}")
    executions = watching.follow(target, since, uploads) if wait and uploads else []
    if as_json:
        print_json([{"key": held.key, "landing_key": upload.key} for held, upload in zip(chosen, uploads, strict=True)])
    elif executions:
        show_executions(executions)
    if any(
        execution.status != "SUCCEEDED" or execution.output.get("outcome") == "quarantined" for execution in executions
    ):
        raise typer.Exit(1)


@quarantine_app.command("drop")
def quarantine_drop(
    names: Held = None,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete objects from quarantine; the bucket keeps them as old versions."""
    from p300_cli import quarantine
    from p300_cli.target import current

    target = current()
    store, raw = quarantine.store_of(target), target.outputs["RawBucketName"]
    chosen = quarantine.choose(quarantine.find_quarantined(store, raw), names or [], everything=everything)
    if chosen and not yes:
        if not as_json:
            quarantine.show(chosen, as_json=False)
        typer.confirm(f"Delete {len(chosen)} from quarantine?", abort=True, err=True)
    for held in chosen:
        quarantine.drop(store, raw, held)
    if as_json:
        print_json([{"key": held.key} for held in chosen])
    note(f"dropped {len(chosen)}")


@app.command()
def console(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; the next free one where it is taken.")
    ] = 4700,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
) -> None:
    """Show executions, recordings and models in the browser, with your own credentials, on this machine only."""
    from p300_console.serve import serve

    from p300_cli.target import choose

    serve(choose(), port, browser=browser)


@app.command()
def env() -> None:
    """Print the stack's addresses and key as KEY=VALUE lines: `export $(p300 env)`."""
    from p300_cli.target import choose

    for name, value in choose().environment().items():
        print(f"{name}={value}")


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    subjects: Annotated[int, typer.Option(min=1, help="How many.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same bytes.")] = 7,
) -> None:
    """Write bi2014a-like synthetic subjects: 16 channels, 512 Hz, P300, blinks, drift."""
    from p300.synth import write_subjects

    for path in write_subjects(folder, range(1, subjects + 1), seed):
        print(path)
    note(f"{subjects} synthetic subjects (seed {seed}): no person's data")


@app.command()
def fetch(
    data_set: Annotated[str, typer.Argument(help="bi2012, bi2013a, bi2014a, bi2014b, bi2015a or bi2015b.")],
    subjects: Annotated[str, typer.Option(help="Numbers and ranges, 1-10,12, or all.")] = "all",
    folder: Annotated[Path | None, typer.Option(help="Where to; a folder named like the data set without.")] = None,
    server: Annotated[
        str, typer.Option(envvar="P300_ZENODO", help="A server with Zenodo's API.")
    ] = "https://zenodo.org",
) -> None:
    """Download public Brain Invaders recordings and lay them out for `p300 land`."""
    from p300_cli import fetching

    folder = folder or Path(data_set)
    try:
        paths = fetching.fetch(data_set, fetching.parse_subjects(subjects, data_set), folder, server.rstrip("/"))
    except P300Error as error:
        fail(error.message)
    for path in paths:
        print(path)
    note(f"{len(paths)} recordings; land them with: p300 land {folder}")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
