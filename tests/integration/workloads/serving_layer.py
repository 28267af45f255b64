"""What inference may ask of the serving layer: Powertools' event handler, orjson, NumPy."""

import json

import numpy as np
import orjson
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.utilities.parser import BaseModel, parse


class Request(BaseModel):
    features: list[float]


app = APIGatewayRestResolver()
weights = np.linspace(-1, 1, 1120, dtype=np.float32)


@app.post("/predict")
def predict() -> dict[str, float]:
    request = parse(orjson.loads(app.current_event.body or ""), model=Request)
    return {"probability_target": float(1 / (1 + np.exp(-(np.asarray(request.features, np.float32) @ weights))))}


answer = app.resolve(
    {
        "path": "/predict",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "requestContext": {},
        "body": json.dumps({"features": [0.0] * 1120}),
    },
    None,  # type: ignore[arg-type]
)
assert answer["statusCode"] == 200 and json.loads(answer["body"]) == {"probability_target": 0.5}, answer
assert Logger(service="x") and Metrics(service="x", namespace="x")
