"""Inference: the prediction API behind API Gateway."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, CORSConfig, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300.errors import RequestError
from p300_pipeline.errors import HttpError, status_of
from p300_pipeline.serving import ModelStore, Service
from p300_pipeline.serving.requests import query_of
from p300_pipeline.serving.service import models_page
from p300_pipeline.settings import InferenceSettings

logger, metrics = Logger(), Metrics()
settings = InferenceSettings.from_environment()
app = APIGatewayRestResolver(cors=CORSConfig(settings.cors_origin) if settings.cors_origin else None)
ROUTES = "POST /predict, POST /decode, GET /health, GET /models, GET /openapi.json"


def tell_fault(alias: str, problem: str) -> None:
    logger.error("model unavailable", extra={"alias": alias, "problem": problem})
    metrics.add_metric(name="ModelUnavailable", unit=MetricUnit.Count, value=1)


service = Service(ModelStore(), settings.models_bucket, tell_fault)


@app.post("/predict")
def predict() -> Response[str]:
    query = _query("alias", "subject")
    answer = service.predict(_body(), query.get("alias"), query.get("subject"))
    metrics.add_metric(name="EpochsPredicted", unit=MetricUnit.Count, value=answer.get("n_epochs", 1))
    metrics.add_metadata(key="model_version", value=answer["model_version"])
    return _json(200, answer)


@app.post("/decode")
def decode() -> Response[str]:
    query = _query("alias", "subject")
    answer = service.decode(_body(), query.get("alias"), query.get("subject"))
    metrics.add_metric(name="SymbolsDecoded", unit=MetricUnit.Count, value=1)
    metrics.add_metadata(key="model_version", value=answer["model_version"])
    return _json(200, answer)


def _query(*known: str) -> dict[str, str]:
    return query_of(app.current_event.raw_event, known)


def _no_body() -> None:
    if app.current_event.body:
        raise HttpError("unexpected_body", f"GET {app.current_event.path} takes no body; it came with one.", 400)


def _body() -> str | None:
    content_type = app.current_event.headers.get("Content-Type", "application/json")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise HttpError("not_json", f"Content-Type is {content_type[:80]!r}; expected application/json.", 415)
    try:
        return app.current_event.decoded_body
    except ValueError as error:
        raise HttpError("not_json", f"The body is not text ({error}); expected a JSON object.", 400) from error


@app.get("/health")
def health() -> Response[str]:
    _query()
    _no_body()
    return _json(*service.health())


@app.get("/models")
def models() -> Response[str]:
    _no_body()
    return _json(200, service.models(**models_page(_query("limit", "before"))))


@app.get("/openapi.json")
def openapi() -> Response[str]:
    _query()
    _no_body()
    from p300_pipeline.serving.openapi import document

    return _json(200, document())


@app.exception_handler(RequestError)  # type: ignore[untyped-decorator]
def refuse(error: RequestError) -> Response[str]:
    logger.warning(error.message, extra={"code": error.code})
    return _json(status_of(error), {"error": {"code": error.code, "message": error.message}})


@app.not_found
def not_found(error: NotFoundError) -> Response[str]:
    message = f"There is no {app.current_event.http_method} {app.current_event.path}; there are {ROUTES}."
    return _json(404, {"error": {"code": "no_such_route", "message": message}})


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    sampled = "Sampled=1" in os.environ.get("_X_AMZN_TRACE_ID", "")
    return (_traced() if sampled else answer)(event, context)


def answer(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)


@cache
def _traced() -> Callable[..., dict[str, Any]]:
    # X-Ray's library is imported with the first request that it takes: with its patches of boto3 it would double a cold start.
    return Tracer(auto_patch=False).capture_lambda_handler(answer)


def _json(status: int, body: dict[str, Any]) -> Response[str]:
    return Response(status, "application/json", orjson.dumps(body).decode())
