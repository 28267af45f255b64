"""What each route of the prediction API answers."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from p300.chance import chance_of, in_words
from p300.errors import ArtifactError, RequestError

from p300_pipeline.aliases import VERSION, no_such_version
from p300_pipeline.errors import HttpError
from p300_pipeline.model_index import newest_rows, page
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store, storage_errors

from .cache import ModelCache, Served
from .personal import PersonalModels, parse_subject
from .predictions import predict
from .requests import parse_json, short
from .routing import DEFAULT, route

MAX_MODELS = 100


class Service:
    """The prediction API on a models bucket.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        Models bucket.
    on_fault : callable, optional
        See `ModelCache`.
    """

    def __init__(
        self, store: Store, bucket: str, on_fault: Callable[[str, str], None] = lambda alias, problem: None
    ) -> None:
        self.cache = ModelCache(store, bucket, on_fault)
        self.personal = PersonalModels(self.cache, on_fault)

    def predict(self, body: bytes | str | None, alias: str | None = None, subject: str | None = None) -> dict[str, Any]:
        """Answer ``POST /predict``: see `p300_pipeline.serving.predictions.predict`.

        Parameters
        ----------
        body : bytes or str
            JSON.
        alias : str, optional
            ``champion``, ``challenger``, ``champion_<montage>`` or a version. By default the champion of the request's channels: see
            `p300_pipeline.serving.routing.route`.
        subject : str, optional
            Whose flashes these are, in any spelling: the subject's personal model answers where there is one, and ``model`` in the answer
            says which model it was (`p300_pipeline.serving.personal`).

        Raises
        ------
        RequestError
            If the body is not what the model expects, no model serves, or both `alias` and `subject` are given.
        """
        request = parse_json(body)
        return self._answer(predict, request, alias, subject)

    def decode(self, body: bytes | str | None, alias: str | None = None, subject: str | None = None) -> dict[str, Any]:
        """Answer ``POST /decode``: see `p300_pipeline.serving.symbols.decode`; parameters and errors as in `predict`."""
        from .symbols import decode

        request = parse_json(body)
        return self._answer(decode, request, alias, subject)

    def _answer(
        self,
        ask: Callable[[Mapping[str, Any], Served], dict[str, Any]],
        request: Mapping[str, Any],
        alias: str | None,
        subject: str | None,
    ) -> dict[str, Any]:
        if alias is not None and subject is not None:
            raise HttpError(
                "alias_and_subject",
                "The query has alias and subject, which name two models; expected one of them.",
                400,
            )
        name = parse_subject(subject) if subject is not None else None
        if alias is not None:
            return ask(request, self.cache.model(alias))
        chosen, served = route(request, self.cache)
        if name is not None:
            found = self.personal.answering(name, chosen, served, request)
            told = {"subject": name, "alias": found.alias, "version": found.served.version}
            return {**ask(request, found.served), "model": {**told, "note": found.note} if found.note else told}
        answer = ask(request, served)
        return answer if chosen == DEFAULT else {**answer, "alias": chosen}

    def health(self) -> tuple[int, dict[str, Any]]:
        """Answer ``GET /health``: status and body; 503 while nothing can serve."""
        try:
            served = self.cache.model()
        except RequestError as error:
            message = f"{error.message}{self._not_promoted()}"
            return 503, {"status": "no model", "model_version": None, "message": message}
        problem = self.cache.problem(served)
        chance = served.chance
        answer = {
            "status": "degraded" if problem else "ok",
            "model_version": served.version,
            "expects": served.expected,
            "at_chance": chance and chance["at_chance"],
            "p_chance": chance and chance["p_value"],
        }
        return 200, {**answer, "problem": problem} if problem else answer

    def _not_promoted(self) -> str:
        """Say why the challenger does not serve, where no model does because it is at chance."""
        registry = self.cache.registry
        try:
            challenger = registry.held_by("challenger")
            chance = chance_of(registry.manifest(challenger)["metrics"]) if challenger else None
        except ArtifactError:
            return ""
        except storage_errors():
            return ""
        return f" {challenger} was not promoted: {in_words(chance)}." if chance and chance["at_chance"] else ""

    def models(self, limit: int = MAX_MODELS, before: str | None = None) -> dict[str, Any]:
        """Answer ``GET /models``: versions, newest first, and the aliases.

        Parameters
        ----------
        limit : int
            Versions in an answer.
        before : str, optional
            Only versions older than this one: ``next`` of the answer before.

        Raises
        ------
        RequestError
            503 where the models bucket cannot be read.
        """
        registry = self.cache.registry
        try:
            held, problems = registry.aliases()
            montages = _montages(registry, held)
            rows, incomplete = newest_rows(registry)
        except storage_errors() as error:
            raise HttpError("no_models", self.cache.unreadable(error), 503) from error
        if not incomplete:
            versions = {row["version"] for row in rows}
            problems += [
                no_such_version(name, version) for name, version in held.items() if version and version not in versions
            ]
        chosen, following = page(rows, limit, before)
        answer = {
            "models": [_listed(row, held) for row in chosen],
            "aliases": held,
            "montages": montages,
            "next": following,
        }
        problems += [incomplete] if incomplete else []
        return {**answer, "problems": problems} if problems else answer


def _montages(registry: Registry, held: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Return the channels of each champion's model, by alias; without those whose manifest cannot be read, which are problems."""
    found = {}
    for alias, version in held.items():
        if version and alias != "challenger":
            with suppress(ArtifactError):
                found[alias] = list(registry.manifest(version)["channels"])
    return found


def _listed(row: Mapping[str, Any], held: Mapping[str, str | None]) -> dict[str, Any]:
    if "problem" in row:
        return {"version": row["version"], "problem": row["problem"]}
    return {
        "version": row["version"],
        "kind": row["kind"],
        "aliases": [name for name, version in held.items() if version == row["version"]],
        **{name: row[name] for name in ("subjects", "n_epochs", "auc_left_out", "created")},
        **{name: row.get(name) for name in ("at_chance", "p_chance")},
    }


def models_page(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments for `Service.models` from the query of ``GET /models``.

    Raises
    ------
    RequestError
        400 for a limit that is not a number from 1 to `MAX_MODELS`, or an invalid version.
    """
    limit, before = query.get("limit", str(MAX_MODELS)), query.get("before")
    if not (limit.isascii() and limit.isdecimal() and len(limit) <= 4 and 1 <= int(limit) <= MAX_MODELS):
        raise HttpError("bad_limit", f"limit is {short(limit)}; expected a number from 1 to {MAX_MODELS}.", 400)
    if before is not None and not VERSION.fullmatch(before):
        raise HttpError("bad_version", f"before is {short(before)}; expected a version, as next of an answer.", 400)
    return {"limit": int(limit), "before": before}
