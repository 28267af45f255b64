"""Model versions: list, show, promote, train, track."""

from pathlib import Path
from typing import Annotated

import typer

from p300_cli.commands.options import Json
from p300_cli.terminal import fail, note, open_in_browser

app = typer.Typer()
models_app = typer.Typer(help="Model versions.", invoke_without_command=True)
app.add_typer(models_app, name="models")


@models_app.callback()
def models(
    context: typer.Context,
    subject: Annotated[
        str | None,
        typer.Option(help="List this subject's personal models, beside the population's on the same flashes."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the model versions with their metrics."""
    from p300_cli.model_list import show_models, show_personal
    from p300_cli.targets import current

    if context.invoked_subcommand is not None:
        return
    if subject is not None:
        show_personal(current(), subject, as_json=as_json)
    else:
        show_models(current(), as_json=as_json)


@models_app.command("show")
def show_one_model(
    version: Annotated[str, typer.Argument(help="A version, champion, champion_<montage> or challenger.")] = "champion",
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open its plots.")] = True,
    as_json: Json = False,
) -> None:
    """Show one version's metrics beside those of a plain LDA, its promotions and its plots."""
    from p300_client.model_versions import registry
    from p300_client.paths import STATE
    from p300_client.personal_models import is_personal

    from p300_cli.model_details import show_model
    from p300_cli.targets import current

    if is_personal(version):
        fail(f"{version} is a personal model; `p300 models --subject {version.split('/')[0]}` shows its metrics.", 2)
    pictures = show_model(registry(current()), version, STATE / "models", as_json=as_json)
    if browser and not as_json:
        open_in_browser(pictures)


@app.command()
def promote(
    version: Annotated[str | None, typer.Argument(help="Version to serve from now on.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Return to the previous champion.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Promote even a version that is at chance.")] = False,
    alias: Annotated[
        str | None, typer.Option(help="With --rollback: champion (the default), champion_<montage> or subject_<label>.")
    ] = None,
) -> None:
    """Make a version the champion of its montage, even a worse one; the API serves it within seconds."""
    from p300_client.model_versions import at_chance, registry
    from p300_client.model_versions import promote as promote_version

    from p300_cli.targets import current

    if (version is None) != rollback:
        fail("Name a version, or say --rollback.", 2)
    if alias and not rollback:
        fail("--alias goes with --rollback: a version is promoted within its own montage.", 2)
    target = current()
    champion, replaced, role = promote_version(target, version, force=force, alias=alias)
    print(champion)
    what = "the champion" if role == "champion" else f"the champion of its montage ({role})"
    what = f"served as {role}" if role.startswith("subject_") else what
    note(f"{champion} is {what} instead of {replaced or 'none'}{at_chance(registry(target), champion)}")


@app.command()
def reproduce(
    version: Annotated[str, typer.Argument(help="A version, champion, champion_<montage> or challenger.")] = "champion",
    as_json: Json = False,
) -> None:
    """Rebuild a version from its raw recordings on this machine and compare: exit code 0 if it is bit-identical."""
    from p300_client.personal_models import is_personal

    from p300_cli import reproducing
    from p300_cli.targets import current

    if is_personal(version):
        fail(f"{version} is a personal model; expected a population's version, or an alias of one.", 2)

    found = reproducing.reproduce_version(current(), version)
    reproducing.show(found, as_json=as_json)
    if not found.same:
        raise typer.Exit(1)


@app.command()
def train(
    subjects: Annotated[
        str, typer.Option(help="Fraction of the subjects (0.5), or names: subject_01,subject_02.")
    ] = "1.0",
    held_out: Annotated[str, typer.Option(help="Subjects to hold out, separated by commas.")] = "",
    model: Annotated[str, typer.Option(help="Kind of model; by default the stack's.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    channels: Annotated[
        str, typer.Option(help="Channels of the model, separated by commas; by default those of the default montage.")
    ] = "",
) -> None:
    """Start a training now and follow it."""
    from p300_client.training import parse_request

    from p300_cli.following import follow_training, show_executions
    from p300_cli.targets import current

    execution = follow_training(current(), parse_request(subjects, held_out, model, seed, channels))
    show_executions([execution])
    if execution.status != "SUCCEEDED":
        raise typer.Exit(1)


@app.command()
def track(
    sync: Annotated[bool, typer.Option("--sync", help="Send them to Weights & Biases (needs WANDB_API_KEY).")] = False,
    folder: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("wandb"),
) -> None:
    """Fetch the offline Weights & Biases runs from the models bucket, and send them with --sync."""
    from p300_cli.targets import current
    from p300_cli.tracking import fetch_runs, sync_runs

    runs = fetch_runs(current(), folder)
    if sync:
        sync_runs(runs)
