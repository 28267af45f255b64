"""Preprocessing: makes features and their report.json from a raw recording."""

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300.signals import Parameters
from p300_pipeline.contracts import PreprocessInput, PreprocessResult
from p300_pipeline.settings import PreprocessingSettings
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.storage import Store

logger, metrics, tracer = Logger(), Metrics(), Tracer()
settings = PreprocessingSettings.from_environment()


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: PreprocessInput, context: LambdaContext) -> PreprocessResult:
    answer = preprocess(
        Store(),
        settings.raw_bucket,
        settings.features_bucket,
        event["key"],
        event["etag"],
        Parameters.from_json(settings.preprocessing),
        may_quarantine=event.get("quarantine", True),
    )
    metrics.add_metric(name="EpochsKept", unit=MetricUnit.Count, value=answer.get("n_kept", 0))
    logger.info("preprocessed", extra=answer)
    return answer
