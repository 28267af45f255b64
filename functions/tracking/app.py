"""Tracking: a Weights & Biases run for each training."""

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300_pipeline.contracts import TrackInput, TrackResult
from p300_pipeline.settings import TrackingSettings
from p300_pipeline.steps.tracking import track
from p300_pipeline.storage import Store

logger, metrics, tracer = Logger(), Metrics(), Tracer()
settings = TrackingSettings.from_environment()


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: TrackInput, context: LambdaContext) -> TrackResult:
    answer = track(
        Store(),
        settings.models_bucket,
        event["version"],
        promotion=event["promotion"],
        project=settings.wandb_project,
        mode=settings.wandb_mode,
        api_key=_api_key(),
    )
    metrics.add_metric(name="RunsTracked", unit=MetricUnit.Count, value=1)
    logger.info("tracked", extra=answer)
    return answer


def _api_key() -> str | None:
    name = settings.wandb_key_parameter
    return parameters.get_parameter(name, decrypt=True, max_age=300) if name else None
