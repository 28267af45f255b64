"""Ingestion: a landed object becomes a raw recording or goes to quarantine with the reason."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import S3EventBridgeNotificationEvent
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300.signals import Parameters
from p300_pipeline.settings import Settings
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.storage import Store

logger, metrics, tracer = Logger(), Metrics(), Tracer()
settings = Settings.from_environment()


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    s3_object = S3EventBridgeNotificationEvent(event["event"]).detail.object
    # Powertools decodes the key as in an S3 notification; EventBridge on AWS gives it as it is: `ingest` takes which exists.
    landed = Landed(s3_object["key"], s3_object.etag or "", s3_object.get("version-id"))
    answer = ingest(
        Store(),
        settings.landing_bucket,
        settings.raw_bucket,
        landed,
        wait_for_files_s=settings.wait_for_files_s,
        parameters=Parameters.from_json(settings.preprocessing),
    )
    metrics.add_metric(name=f"Recordings{answer['outcome'].title()}", unit=MetricUnit.Count, value=1)
    logger.info("ingested", extra=answer)
    return answer
