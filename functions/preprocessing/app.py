"""Preprocessing: a raw recording becomes features and a report; for a backfill, the list of all raw recordings and what became of them."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300.signals import Parameters
from p300_pipeline.executions import check_no_input
from p300_pipeline.settings import Settings
from p300_pipeline.steps.backfill import list_recordings, sum_up
from p300_pipeline.steps.preprocess import preprocess
from p300_pipeline.storage import Store

logger, metrics, tracer = Logger(), Metrics(), Tracer()
settings = Settings.from_environment()


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    if event.get("step") == "list":
        check_no_input(event["input"])
        return list_recordings(Store(), settings.raw_bucket, settings.features_bucket, event["execution"])
    if event.get("step") == "sum_up":
        return sum_up(Store(), settings.features_bucket, event["execution"])
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
