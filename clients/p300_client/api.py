"""Send requests to the prediction API."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from p300.errors import ArtifactError, P300Error
from p300.features import FeatureSet
from p300_pipeline import feature_store
from p300_pipeline.keys import subject_name
from p300_pipeline.storage import Store, find

from p300_client.progress import Notify, ignore_notes
from p300_client.target import Target

EPOCHS_A_REQUEST = 256
MAX_NOTES = 5


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: dict[str, Any]

    @property
    def refusal(self) -> str:
        """The message of an error answer, from the API itself, API Gateway or the emulator."""
        error = self.body.get("error", self.body)
        return str(error.get("message", error) if isinstance(error, dict) else error)

    def required(self, request: str) -> dict[str, Any]:
        """Return the body of a successful answer; `request` names the request in the message, such as ``POST /predict``.

        Raises
        ------
        P300Error
            ``refused``, with what the API said.
        """
        if self.status != 200:
            raise P300Error("refused", f"{request} answered {self.status}: {self.refusal}")
        return self.body


class Api:
    """The prediction API of a target."""

    def __init__(self, target: Target) -> None:
        self._url = target.api_url
        self._key = target.api_key

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send a request; an answer of any status is returned.

        Raises
        ------
        P300Error
            ``unreadable_answer`` if a successful answer is not a JSON object: something else answers at this address.
        """
        request = urllib.request.Request(  # noqa: S310
            self._url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"x-api-key": self._key, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        if isinstance(body, dict):
            return Answer(status, body)
        shown = text.decode(errors="replace")[:500]
        if status == 200:
            raise P300Error(
                "unreadable_answer", f"{method} {self._url}{path} answered {shown!r}; expected a JSON object."
            )
        return Answer(status, {"error": {"code": "unreadable", "message": shown}})

    def predict(
        self,
        X: NDArray[np.float32],
        alias: str | None = None,
        notify: Notify = ignore_notes,
        *,
        channels: Sequence[str] | None = None,
        subject: str | None = None,
    ) -> tuple[NDArray[np.float64], str]:
        """Return the probability of Target for each epoch, and the version of the model that gave it.

        Parameters
        ----------
        X : ndarray of float32, shape (n_epochs, n_features)
            Features in volts.
        alias : str, optional
            An alias or a version; by default the champion that has the channels.
        notify : callable, optional
            Called with each note in the API's answers, once.
        channels : sequence of str, optional
            Channel names in the order of `X`: the API selects the model's by name, interpolates a few, and refuses others. By default
            `X` is taken to be in the model's order.
        subject : str, optional
            Whose personal model answers, where there is one; a note says where there is none. Not together with `alias`.

        Returns
        -------
        probability : ndarray, shape (n_epochs,)
        version : str

        Raises
        ------
        P300Error
            ``refused``, with what the API said.
        """
        probabilities: list[float] = []
        version = ""
        said: set[str] = set()
        for start in range(0, len(X), EPOCHS_A_REQUEST):
            batch = np.ascontiguousarray(X[start : start + EPOCHS_A_REQUEST], "<f4")
            body = {"epochs_b64": base64.b64encode(batch.tobytes()).decode(), "n_epochs": len(batch)}
            if channels is not None:
                body["channels"] = list(channels)
            answer = self.ask("POST", "/predict" + _query(alias, subject), body)
            answer.required("POST /predict")
            pass_on_notes(answer, said, notify)
            probabilities += [prediction["probability_target"] for prediction in answer.body["predictions"]]
            version = answer.body["model_version"]
        return np.array(probabilities), version

    def decode(self, body: dict[str, Any], alias: str | None = None, subject: str | None = None) -> dict[str, Any]:
        """Return the answer of POST /decode for flashes and a layout; `alias` and `subject` as in `predict`.

        Raises
        ------
        P300Error
            ``refused``, with what the API said.
        """
        return self._success("POST", "/decode" + _query(alias, subject), body)

    def models(self) -> dict[str, Any]:
        """Return the answer of GET /models; raises as `decode` does."""
        return self._success("GET", "/models")

    def health(self) -> dict[str, Any]:
        """Return the answer of GET /health; raises as `decode` does."""
        return self._success("GET", "/health")

    def _success(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self.ask(method, path, body).required(f"{method} {path.partition('?')[0]}")


def pass_on_notes(answer: Answer, said: set[str], notify: Notify) -> None:
    """Pass on the notes in the API's answer: the first few, each once."""
    model = answer.body.get("model") or {}
    notes = {*answer.body.get("notes", []), *([model["note"]] if "note" in model else [])}
    for text in notes - said:
        if len(said) < MAX_NOTES:
            notify(text)
        elif len(said) == MAX_NOTES:
            notify("There are more notes like these.")
        said.add(text)


def load_features(target: Target, recording: str) -> FeatureSet:
    """Return a recording's features from the feature store.

    Raises
    ------
    ArtifactError
        If there are none, or they are damaged.
    """
    bucket, store = target.outputs["FeaturesBucketName"], Store(target.client("s3"))
    try:
        return feature_store.load_features(store, bucket, _as_landed(store, bucket, recording))
    except ArtifactError as error:
        hint = f" `aws s3 ls --recursive s3://{bucket}` lists all features." if error.code == "no_features" else ""
        raise ArtifactError(error.code, error.message + hint) from error


def _as_landed(store: Store, bucket: str, recording: str) -> str:
    """Return a recording's name; if nothing has that exact name, with its subject spelled as in the bucket."""
    subject, _, name = recording.partition("/")
    if find(store, bucket, feature_store.features_key(recording)):
        return recording
    of_name = (held for held in feature_store.find_features(store, bucket) if held.partition("/")[2] == name)
    return next((held for held in of_name if feature_store.subject_of(held) == subject_name(subject)), recording)


def recordings(target: Target, subject: str | None = None) -> list[str]:
    """Return ``<subject>/<recording>`` of every recording that has features."""
    pages = (
        target.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=target.outputs["FeaturesBucketName"], Prefix=f"{subject}/" if subject else "subject_")
    )
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return [key.removesuffix("/features.parquet") for key in keys if key.endswith("/features.parquet")]


def _query(alias: str | None, subject: str | None = None) -> str:
    named = {"alias": alias, "subject": subject}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in named.items() if value is not None)
    return f"?{query}" if query else ""


def time_single_epoch(api: Api, features: FeatureSet, alias: str | None = None) -> tuple[Answer, float]:
    """Send one epoch to /predict as a client would; return the answer and the milliseconds it took."""
    body = {"features": features.X[0].astype(float).tolist(), "channels": list(features.ch_names)}
    began = time.perf_counter()
    answer = api.ask("POST", "/predict" + _query(alias), body)
    return answer, 1000 * (time.perf_counter() - began)
