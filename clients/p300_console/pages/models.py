"""Models: the versions and their aliases, one version with its metrics, and the actions of the console: promote, roll back and train."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from p300.chance import in_words
from p300.errors import ArtifactError, P300Error
from p300.evaluation import headline
from p300_client import model_versions as by_hand
from p300_client.coverage import coverage
from p300_client.training import parse_request, start_training
from p300_pipeline.keys import subject_name
from p300_pipeline.model_index import newest_rows, row_of
from p300_pipeline.montage_groups import Montage, alias_of
from p300_pipeline.registry import VERSION, Registry
from p300_pipeline.steps.training import TrainingRequest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from p300_console import charts, replay
from p300_console.pages.trying import events
from p300_console.query import Query
from p300_console.recordings import FEATURES, MODEL
from p300_console.stack import outage
from p300_console.web import Console, console, error_page, from_iso, link, page

MAX_VERSIONS = 200
MAX_REFERENCES = 20
ASKED = ("subjects", "held_out", "model", "seed", "channels")
MAX_SEED_DIGITS = 18
REFERENCE = "lda"
"""The kind of model to which others are compared: the field has used it for decades."""


def listing(request: Request) -> Response:
    """Show the newest versions, their aliases, and every promotion."""
    Query(request, "promoted")
    registry = console(request).stack.registry
    held, problems = registry.aliases()[0], registry.problems()
    rows, incomplete = newest_rows(registry)
    manifests = _manifests(registry, held)
    return page(
        request,
        "models",
        live=True,
        rows=[_with_aliases(row, held) for row in rows[:MAX_VERSIONS]],
        n_versions=len(rows),
        aliases=held,
        montages={
            alias: (Montage.of(manifests[version]).group, manifests[version]["channels"])
            for alias, version in held.items()
            if version in manifests and alias != "challenger"
        },
        recordings=coverage(console(request).stack.target, manifests, held),
        problems=[*problems, *([incomplete] if incomplete else [])],
        history=registry.history()[::-1],
        before=_before(registry, held["champion"]),
        from_iso=from_iso,
    )


def _manifests(registry: Registry, held: dict[str, str | None]) -> dict[str, dict[str, Any]]:
    """Return the manifests of the versions that aliases hold, newest first: those that recordings are looked for in."""
    found = {}
    for version in sorted({version for version in held.values() if version}, reverse=True):
        with suppress(ArtifactError):  # among the problems
            found[version] = registry.manifest(version)
    return found


def _row(registry: Registry, version: str, held: dict[str, str | None]) -> dict[str, Any]:
    if not VERSION.fullmatch(version):
        said = f"{version[:60]!r} is not a version; expected one such as v20260102030405."
        return _with_aliases({"version": version, "problem": said}, held)
    try:
        manifest = registry.manifest(version)
        headline(manifest["metrics"])
        return {**_with_aliases(row_of(manifest), held), "manifest": manifest}
    except ArtifactError as error:
        return _with_aliases({"version": version, "problem": error.message}, held)


def _with_aliases(row: dict[str, Any], held: dict[str, str | None]) -> dict[str, Any]:
    tested = row.get("at_chance") is not None
    chance = in_words({"at_chance": row["at_chance"], "p_value": row.get("p_chance")}) if tested else ""
    return {
        "problem": "",
        "at_chance": None,
        "chance": chance,
        **row,
        "aliases": (own := [name for name, version in held.items() if version == row["version"]]),
        "serves": any(name != "challenger" for name in own),
    }


def _before(registry: Registry, champion: str | None) -> str | None:
    try:
        return by_hand.before(registry, champion) if champion else None
    except ArtifactError:
        return None


def one(request: Request) -> Response:
    """Show one version."""
    registry = console(request).stack.registry
    version = Query(request, "version").text("version")
    row = _row(registry, version, registry.aliases()[0])
    if "manifest" not in row:
        raise HTTPException(404, row["problem"])
    manifest = row["manifest"]
    metrics = manifest["metrics"]
    reference, reference_name = _reference(registry, manifest)
    own = metrics["leave_one_subject_out"] or metrics["within_subject_blocks"]
    folds = own.get("subjects") or own["blocks"]
    return page(
        request,
        "model",
        row=row,
        manifest=manifest,
        metrics=metrics,
        own=own,
        folds=folds,
        reference=reference,
        reference_name=reference_name,
        calibration=charts.calibration(metrics.get("calibration_curve") or []),
        layouts=replay.LAYOUTS,
        layout=replay.likely_layout("", manifest["channels"]),
        # The calibration is drawn above in the page's own colours.
        pictures=[name for name in registry.pictures(version, manifest) if name != "calibration.png"],
        history=[entry for entry in registry.history()[::-1] if version in {entry["version"], entry.get("replaced")}],
        definition=json.dumps(
            {name: value for name, value in manifest.items() if name not in {"metrics", "recordings", "artifacts"}},
            indent=2,
        ),
        from_iso=from_iso,
    )


def _reference(registry: Registry, manifest: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the reference LDA's metrics on the same left-out subjects, and where they come from.

    They are in the manifest itself, or in that of the newest LDA that was trained on the same subjects.
    """
    if manifest["kind"] == REFERENCE:
        return {}, ""
    beside = manifest["metrics"].get("reference_lda")
    if isinstance(beside, dict):
        return beside, "the same folds"
    alike = [row["version"] for row in newest_rows(registry)[0] if row.get("kind") == REFERENCE]
    for version in alike[:MAX_REFERENCES]:
        try:
            other = registry.manifest(version)
        except ArtifactError:
            continue
        found = other["metrics"].get("leave_one_subject_out")
        if other["kind"] == REFERENCE and found and other["subjects"] == manifest["subjects"]:
            return found, f"version {version}"
    return {}, ""


def picture(request: Request) -> Response:
    """Return one of a version's plots."""
    query = Query(request, "version", "name")
    version, name = _version(query), query.text("name")
    registry = console(request).stack.registry
    if not name.endswith(".png"):
        raise HTTPException(404, "Only plots (.png) are shown here.")
    return Response(registry.picture(version, name, registry.manifest(version)), media_type="image/png")


def _version(query: Query) -> str:
    version = query.text("version")
    if not VERSION.fullmatch(version):
        raise HTTPException(404, f"There is no version {version[:60]!r}.")
    return version


def symbols(request: Request) -> Response:
    """Send the accuracy of decoded symbols after 1, 2, ... repetitions as events, as the API answers."""
    shared = console(request)
    query = Query(request, "version", "layout")
    version, layout = _version(query), query.choice("layout", replay.LAYOUTS)

    def steps() -> Iterator[tuple[str, dict[str, Any]]]:
        manifest = shared.stack.registry.manifest(version)
        chosen = replay.likely_layout(layout, manifest["channels"])
        names, seen = _recordings_to_decode(shared, manifest)
        found, left_out = [], []
        for name in names:
            try:
                found.append(shared.replays.session(name, version, chosen))
            except P300Error as error:
                if outage(error, shared.stack):
                    raise
                left_out.append(error.message)
        yield "about", {"recordings": len(found), "seen": seen, "left_out": left_out}
        kept = shared.replays.points.get((version, chosen))
        if kept is None:
            kept = []
            for point in replay.by_repetitions(shared.stack.api, found, replay.screen(chosen), version):
                kept.append(point)
                yield "point", point
            shared.replays.points[version, chosen] = kept
        else:
            for point in kept:
                yield "point", point

    return events(shared, steps())


def _recordings_to_decode(shared: Console, manifest: dict[str, Any]) -> tuple[list[str], bool]:
    """Return the recordings of held-out subjects, or else those of the training, and whether they were seen in training."""
    held_out = set(map(subject_name, manifest["held_out"]))
    names = [
        one.name for one in shared.recordings.everything() if one.subject in held_out and one.stage in {FEATURES, MODEL}
    ]
    if names:
        return names[: replay.MAX_RECORDINGS], False
    return [entry["recording"] for entry in manifest["recordings"]][: replay.MAX_RECORDINGS], True


# ---- actions: each has a page that says what will happen, with a button that sends the page's token
async def promote(request: Request) -> Response:
    """Make a version the champion."""
    return await _act(request, Query(request, "version").text("version"))


async def roll_back(request: Request) -> Response:
    """Make the previous champion the champion again."""
    Query(request)
    return await _act(request, None)


async def _act(request: Request, version: str | None) -> Response:
    from starlette.concurrency import run_in_threadpool

    if request.method == "POST":
        form = await _form(request)
        if form is None:
            return _stale(request)
        return await run_in_threadpool(_promote, request, form.get("version", ""), force=form.get("force") == "1")
    return await run_in_threadpool(_confirm_promotion, request, version)


def _confirm_promotion(request: Request, version: str | None) -> Response:
    registry = console(request).stack.registry
    held, champion = registry.aliases()[0], registry.champion()
    rolling_back = version is None
    alias = "champion"
    if version is None:
        version = by_hand.before(registry, champion)
    elif champion and (group := registry.group_of(version)) and registry.group_of(champion) not in {group, None}:
        alias = alias_of(group)  # it is promoted within its own montage
        champion = registry.line(group).champion()
    rows = {name: _row(registry, name, held) for name in (version, champion) if name}
    return page(
        request,
        "confirm_promotion",
        version=version,
        champion=held.get(alias),
        alias=alias,
        rows=rows,
        chosen=rows.get(version) or {"at_chance": None},
        rolling_back=rolling_back,
    )


def _promote(request: Request, version: str, *, force: bool) -> Response:
    by_hand.promote(console(request).stack.target, version, force=force)
    return RedirectResponse(link("/models", promoted=version), 303)


async def train(request: Request) -> Response:
    """Ask what to train on, then for confirmation, then start the training."""
    from starlette.concurrency import run_in_threadpool

    if request.method == "POST":
        form = await _form(request)
        if form is None:
            return _stale(request)
        return await run_in_threadpool(_train, request, form)
    return await run_in_threadpool(_ask_what_to_train, request)


def _ask_what_to_train(request: Request) -> Response:
    from p300.models import KINDS

    query = Query(request, *ASKED, "review")
    asked = {name: query.text(name) for name in ASKED}
    problem = ""
    checked: dict[str, Any] | None = None
    if query.choice("review", ("1",)):
        try:
            checked = _request_of(asked)
        except P300Error as error:
            problem = error.message
    return page(
        request,
        "train",
        asked=asked,
        checked=checked,
        problem=problem,
        kinds=KINDS,
        status=422 if problem else 200,
    )


def _request_of(asked: dict[str, str]) -> dict[str, Any]:
    seed = asked.get("seed") or "0"
    if not (seed.isascii() and seed.isdecimal() and len(seed) <= MAX_SEED_DIGITS):
        raise ArtifactError(
            "bad_request", f"seed is {seed[:60]!r}; expected a whole number of at most {MAX_SEED_DIGITS} digits."
        )
    request = parse_request(
        asked.get("subjects") or "1.0",
        asked.get("held_out", ""),
        asked.get("model", ""),
        int(seed),
        asked.get("channels", ""),
    )
    TrainingRequest.parse(request, REFERENCE)
    return request


def _train(request: Request, form: dict[str, str]) -> Response:
    arn = start_training(console(request).stack.target, _request_of(form))
    return RedirectResponse(link("/execution", arn=arn), 303)


async def _form(request: Request) -> dict[str, str] | None:
    """Return a form's fields; None if it does not carry this browser's token."""
    async with request.form(max_files=0, max_fields=20) as sent:
        form = {name: value for name, value in sent.items() if isinstance(value, str)}
    tokens = console(request).tokens
    return form if tokens.right(tokens.session(request), form.get("token", "")) else None


def _stale(request: Request) -> Response:
    return error_page(
        request,
        403,
        "Nothing was changed",
        "This form is from before the console was restarted. Open the page again and repeat the action.",
    )
