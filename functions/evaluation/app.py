"""Evaluation: scores recordings with a new model through inference, the function that serves."""

import base64
import json
from functools import partial
from typing import Any

import numpy as np
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext
from numpy.typing import NDArray
from p300_pipeline.contracts import EvaluateInput, EvaluateResult
from p300_pipeline.settings import EvaluationSettings
from p300_pipeline.steps.training import evaluate
from p300_pipeline.storage import Store

logger, tracer = Logger(), Tracer()
settings = EvaluationSettings.from_environment()
EPOCHS_A_REQUEST = 256  # keeps the JSON of 64 channels under a Lambda payload's 6 MB


@logger.inject_lambda_context(correlation_id_path="execution")
@tracer.capture_lambda_handler
def handler(event: EvaluateInput, context: LambdaContext) -> EvaluateResult:
    result = evaluate(
        Store(),
        settings.features_bucket,
        settings.models_bucket,
        event["version"],
        partial(ask_inference, _lambda_client()),
        memory_mb=settings.memory_mb,
    )
    logger.info("evaluated", extra=result)
    return result


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
