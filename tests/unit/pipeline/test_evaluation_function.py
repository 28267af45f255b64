"""What evaluation asks of inference: requests that fit into a Lambda payload, and answers that are none."""

import io
import json
from typing import Any

import numpy as np
import pytest
from p300_pipeline.storage import Store

from tests.support.functions import ENVIRONMENT, Load


def test_the_largest_request_for_evaluation_fits_into_a_lambda_payload(
    store: Store, load_function: Load, context: Any
) -> None:
    module = load_function("evaluation", **ENVIRONMENT)
    X = np.zeros((module.EPOCHS_A_REQUEST + 1, 64 * 70), np.float32)
    sizes: list[int] = []

    class Client:
        def invoke(self, *, Payload: bytes, **_: Any) -> dict[str, Any]:
            sizes.append(len(Payload))
            n_epochs = json.loads(json.loads(Payload)["body"])["n_epochs"]
            body = json.dumps({"predictions": [{"probability_target": 0.5}] * n_epochs})
            return {"Payload": io.BytesIO(json.dumps({"statusCode": 200, "body": body}).encode())}

    assert module.ask_inference(Client(), "v1", X).shape == (len(X),)
    assert max(sizes) <= 6 * 1024 * 1024
    assert len(sizes) == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"FunctionError": "Unhandled", "Payload": {"errorType": "Sandbox.Timedout"}},
        {"Payload": {"statusCode": 503, "body": "{}"}},
    ],
)
def test_an_evaluation_that_inference_refuses_fails(store: Store, load_function: Load, answer: dict[str, Any]) -> None:
    module = load_function("evaluation", **ENVIRONMENT)

    class Client:
        def invoke(self, **_: Any) -> dict[str, Any]:
            return {**answer, "Payload": io.BytesIO(json.dumps(answer["Payload"]).encode())}

    with pytest.raises(RuntimeError, match="inference refused 1 epochs for v1"):
        module.ask_inference(Client(), "v1", np.zeros((1, 3), np.float32))
