"""LocalStack, the stack on it, and what talks to it: start, deploy, stop."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from p300.errors import P300Error

from p300_cli.terminal import fail, note

if TYPE_CHECKING:
    from p300_client.target import Target

app = typer.Typer()


@app.command()
def run(
    recordings: Annotated[
        list[Path] | None, typer.Argument(help="Folders of recordings; by default synthetic ones are made.")
    ] = None,
) -> None:
    """Start LocalStack, deploy, land recordings, follow them, predict (what `make run` does)."""
    from p300_cli.localstack import stack_lock
    from p300_cli.run import run as run_all
    from p300_cli.targets import local

    with stack_lock(target := local()):
        run_all(target, recordings or [])


@app.command()
def up() -> None:
    """Start LocalStack on this machine and deploy the stack."""
    from p300_cli import localstack
    from p300_cli.targets import local

    with localstack.stack_lock(target := local()):
        localstack.up(target)
        _deploy(target, {})


@app.command()
def down(
    everything: Annotated[bool, typer.Option("--all", help="On all ports that this checkout uses.")] = False,
) -> None:
    """Stop the LocalStack that `p300 up` or `p300 run` started; its buckets are lost."""
    from p300_cli import localstack, servers
    from p300_cli.targets import local

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
    """Build what changed and deploy it to LocalStack (AWS: `sam build && sam deploy --config-env aws`)."""
    from p300_client.paths import PROJECT, require_checkout

    from p300_cli import localstack, parameters
    from p300_cli.deploy import read_template
    from p300_cli.targets import local

    require_checkout()
    try:
        stated = parameters.parse(parameter or [], read_template(PROJECT / "template.yaml")["Parameters"])
    except P300Error as error:
        fail(error.message, 2)
    with localstack.stack_lock(target := local()):
        localstack.expect(target)
        _deploy(target, stated)


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
def console(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; the next free one if it is taken.")
    ] = 4700,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
) -> None:
    """Show executions, recordings and models in the browser, with your own credentials, on this machine only."""
    from p300_client.target import choose
    from p300_console.serve import serve

    serve(choose(), port, browser=browser)


@app.command()
def env(
    unset: Annotated[
        bool, typer.Option("--unset", help='Print the commands that unset them: `eval "$(p300 env --unset)"`.')
    ] = False,
) -> None:
    """Print the stack's addresses and key as KEY=VALUE lines: `export $(p300 env)`."""
    from p300_client.target import exported

    from p300_cli.targets import announced

    if unset:
        if names := exported():
            print(f"unset {' '.join(names)}")
        return
    for name, value in announced().environment().items():
        print(f"{name}={value}")
