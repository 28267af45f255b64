"""Training: is it due, train a challenger, evaluate it through inference, promote it if it is not worse."""

import base64
import json
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from numpy.typing import NDArray
from p300.signals.parameters import Parameters
from p300_pipeline import executions
from p300_pipeline.settings import Settings
from p300_pipeline.steps import training
from p300_pipeline.storage import Store

logger, metrics, tracer = Logger(), Metrics(), Tracer()
settings = Settings.from_environment()
EPOCHS_A_REQUEST = 256  # keeps the JSON of 64 channels under a Lambda payload's 6 MB


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    answer = STEPS[event["step"]](event, Store())
    logger.info(event["step"], extra=answer)
    return answer


def check_due(event: dict[str, Any], store: Store) -> dict[str, Any]:
    return training.check_due(
        store,
        settings.features_bucket,
        settings.models_bucket,
        recording=event["recording"],
        etag=event["etag"],
        execution=_execution(event),
        started=datetime.fromisoformat(event["started"]).timestamp(),
        retrain_every=settings.retrain_every,
    )


def train(event: dict[str, Any], store: Store) -> dict[str, Any]:
    executions.parse(event["input"], event["execution"])
    request = training.TrainingRequest.parse(event["request"], settings.model_kind)
    started = datetime.fromisoformat(event["started"])
    answer = training.train(
        store,
        settings.features_bucket,
        settings.models_bucket,
        request,
        Parameters.from_json(settings.preprocessing),
        execution=_execution(event),
        started=started,
        memory_mb=settings.memory_mb,
    )
    if auc := answer.get("auc_mean"):
        metrics.add_metric(name="LeftOutAuc", unit=MetricUnit.NoUnit, value=auc)
    return answer


def evaluate(event: dict[str, Any], store: Store) -> dict[str, Any]:
    return training.evaluate(
        store,
        settings.features_bucket,
        settings.models_bucket,
        event["version"],
        partial(ask_inference, _lambda_client()),
        memory_mb=settings.memory_mb,
    )


def promote(event: dict[str, Any], store: Store) -> dict[str, Any]:
    return training.promote(store, settings.models_bucket, event["version"], execution=_execution(event))


def _execution(event: dict[str, Any]) -> str:
    """Return the name that claims are made under: where `p300 retry` started this, that of the execution which failed."""
    return executions.root_of(event["execution"], event.get("input"))


STEPS = {"check_due": check_due, "train": train, "evaluate": evaluate, "promote": promote}


def ask_inference(client: Any, version: str, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score epochs with the function that serves, through the very requests that it gets from API Gateway."""
    probabilities: list[float] = []
    for start in range(0, len(X), EPOCHS_A_REQUEST):
        batch = np.ascontiguousarray(X[start : start + EPOCHS_A_REQUEST], "<f4")
        answer = client.invoke(
            FunctionName=settings.inference_function, Payload=json.dumps(_api_request(version, batch)).encode()
        )
        response = json.loads(answer["Payload"].read())
        if answer.get("FunctionError") or response["statusCode"] != 200:
            raise RuntimeError(f"inference refused {len(batch)} epochs for {version}: {response}")
        body = json.loads(response["body"])
        probabilities += [prediction["probability_target"] for prediction in body["predictions"]]
    return np.array(probabilities)


def _api_request(version: str, batch: NDArray[np.float32]) -> dict[str, Any]:
    body = {"epochs_b64": base64.b64encode(batch.tobytes()).decode(), "n_epochs": len(batch)}
    return {
        "resource": "/predict",
        "path": "/predict",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": {"alias": version},
        "multiValueQueryStringParameters": {"alias": [version]},
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"stage": "evaluation", "requestId": version, "identity": {}},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def _lambda_client() -> Any:
    import boto3

    return boto3.client("lambda")
