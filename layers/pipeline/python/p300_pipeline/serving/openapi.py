"""The API's description in OpenAPI 3.1, made from the models in `schemas`; only ``GET /openapi.json`` imports pydantic.

Requests are read by hand (`p300_pipeline.serving.requests`): pydantic would cost a cold start more than all that answers a request. Tests
hold the two together: what is described is answered, and what is answered is described.
"""

from collections.abc import Sequence
from typing import Any

from p300 import __version__
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .schemas import (
    Decoded,
    Epochs,
    Error,
    Health,
    Models,
    NoModel,
    OneEpoch,
    OnePrediction,
    PackedEpochs,
    PackedSession,
    Predictions,
    RawEpochs,
    Session,
)
from .service import MAX_MODELS

PREDICT = (OneEpoch, Epochs, PackedEpochs, RawEpochs)
DECODE = (Session, PackedSession)
REFUSALS = {
    400: "not JSON, an unknown query parameter, an alias or a subject that is none, or both",
    403: "no key",
    404: "no such version",
    413: "too large",
    415: "not application/json",
    422: "not what the model takes",
    429: "too many requests",
    502: "the function failed",
    503: "no model serves, or the models cannot be read",
    504: "the function took too long",
}


def document() -> dict[str, Any]:
    """Return the description as JSON holds it."""
    described = (*PREDICT, OnePrediction, Predictions, *DECODE, Decoded, Health, NoModel, Models, Error)
    _, schemas = models_json_schema(
        [(model, "validation") for model in described], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "P300",
            "version": __version__,
            "description": "Single flashes to probabilities, sessions of flashes to symbols. docs/api.md tells more.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/v1"}],
        "security": [{"key": []}],
        "paths": {
            "/predict": {
                "post": _post("Is the epoch after a flash that of a target?", PREDICT, (OnePrediction, Predictions))
            },
            "/decode": {"post": _post("Which symbol does a person look at?", DECODE, (Decoded,))},
            "/health": {"get": _get("Which model serves, and what does it expect?", Health, {503: NoModel})},
            "/models": {"get": _get("Which models are there?", Models, {503: Error}, [_LIMIT, _BEFORE])},
            "/openapi.json": {"get": _get("This description.", None, {})},
        },
        "components": {
            "schemas": dict(sorted(schemas["$defs"].items())),
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
    }


def _post(summary: str, bodies: tuple[type[BaseModel], ...], answers: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    alias = {
        "name": "alias",
        "in": "query",
        "description": "which model: an alias, or a version; by default the champion that has the request's channels",
        "schema": {
            "type": "string",
            "pattern": r"^(champion|challenger|champion_[0-9]{1,3}ch-[0-9a-f]{8}|v[0-9]{14})$",
        },
    }
    return {
        "summary": summary,
        "operationId": bodies[0].__name__,
        "parameters": [alias, _SUBJECT],
        "requestBody": {"required": True, "content": _json(*bodies)},
        "responses": {
            "200": {"description": "the answer", "content": _json(*answers)},
            **{str(status): {"description": what, "content": _json(Error)} for status, what in REFUSALS.items()},
        },
    }


_SUBJECT = {
    "name": "subject",
    "in": "query",
    "description": "whose flashes these are: the subject's personal model answers where there is one; not together with alias",
    "schema": {"type": "string", "pattern": r"^(subject_|sub-)?[0-9A-Za-z+]{1,64}$"},
}
VERSION_PATTERN = r"^v[0-9]{14}$"
_LIMIT = {
    "name": "limit",
    "in": "query",
    "description": "versions in an answer",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_MODELS, "default": MAX_MODELS},
}
_BEFORE = {
    "name": "before",
    "in": "query",
    "description": "only versions older than this one",
    "schema": {"type": "string", "pattern": VERSION_PATTERN},
}


def _get(
    summary: str,
    answer: type[BaseModel] | None,
    others: dict[int, type[BaseModel]],
    parameters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    anything = {"application/json": {"schema": {"type": "object"}}}
    return {
        "summary": summary,
        **({"parameters": list(parameters)} if parameters else {}),
        "responses": {
            "200": {"description": "the answer", "content": _json(answer) if answer else anything},
            **{str(status): {"description": REFUSALS[status], "content": _json(one)} for status, one in others.items()},
            **{
                str(status): {"description": REFUSALS[status], "content": _json(Error)}
                for status in (400, 403, 429, 502, 504)
            },
        },
    }


def _json(*models: type[BaseModel]) -> dict[str, Any]:
    refs = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {"application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}
