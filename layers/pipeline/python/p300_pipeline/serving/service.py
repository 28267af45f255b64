"""What each route of the prediction API answers."""

from collections.abc import Callable, Mapping
from typing import Any

from p300.errors import ArtifactError, RequestError

from p300_pipeline.documents import is_number
from p300_pipeline.registry import ALIASES
from p300_pipeline.storage import Store

from .cache import ModelCache
from .predictions import predict
from .requests import parse_json


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

    def predict(self, body: bytes | str | None, alias: str = "champion") -> dict[str, Any]:
        """Answer ``POST /predict``: see `p300_pipeline.serving.predictions.predict`.

        Parameters
        ----------
        body : bytes or str
            JSON.
        alias : str
            ``champion``, ``challenger`` or a version.

        Raises
        ------
        RequestError
            If the body is not what the model expects, or no model serves.
        """
        request = parse_json(body)
        return predict(request, self.cache.model(alias))

    def decode(self, body: bytes | str | None, alias: str = "champion") -> dict[str, Any]:
        """Answer ``POST /decode``: see `p300_pipeline.serving.symbols.decode`; parameters and errors as in `predict`."""
        from .symbols import decode

        request = parse_json(body)
        return decode(request, self.cache.model(alias))

    def health(self) -> tuple[int, dict[str, Any]]:
        """Answer ``GET /health``: status and body; 503 while nothing can serve."""
        try:
            served = self.cache.model()
        except RequestError as error:
            return 503, {"status": "no model", "model_version": None, "message": error.message}
        problem = self.cache.problem(served)
        answer = {
            "status": "degraded" if problem else "ok",
            "model_version": served.version,
            "expects": served.expected,
        }
        return 200, {**answer, "problem": problem} if problem else answer

    def models(self) -> dict[str, Any]:
        """Answer ``GET /models``: versions, newest first, and the aliases."""
        registry = self.cache.registry
        aliases = {name: registry.alias(name) for name in ALIASES}
        rows: list[dict[str, Any]] = []
        for version in reversed(registry.versions()):
            try:
                manifest = registry.manifest(version)
            except ArtifactError as error:
                rows.append({"version": version, "problem": error.message})
                continue
            rows.append(
                {
                    "version": version,
                    "kind": manifest["kind"],
                    "aliases": [name for name, held in aliases.items() if held == version],
                    "subjects": len(manifest["subjects"]),
                    "n_epochs": manifest["n_epochs"],
                    "auc_left_out": _auc_left_out(manifest["metrics"]),
                    "created": manifest["created"],
                }
            )
        return {"models": rows, "aliases": aliases}


def _auc_left_out(metrics: Mapping[str, Any]) -> float | None:
    try:
        auc = metrics["leave_one_subject_out"]["mean"]["roc_auc"]
    except (LookupError, TypeError):  # a training on one person leaves nobody out
        return None
    return auc if is_number(auc) else None
