"""Ingestion: moves a landed object to the raw zone, or to quarantine with the reason."""

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300.signals import Parameters
from p300_pipeline import executions
from p300_pipeline.contracts import IngestInput, IngestResult
from p300_pipeline.settings import IngestionSettings
from p300_pipeline.steps.ingest import Landed, ingest
from p300_pipeline.storage import Store

logger, metrics, tracer = Logger(), Metrics(), Tracer()
settings = IngestionSettings.from_environment()


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: IngestInput, context: LambdaContext) -> IngestResult:
    upload = executions.parse_upload(event["event"], event["execution"], settings.landing_bucket)
    answer = ingest(
        Store(),
        settings.landing_bucket,
        settings.raw_bucket,
        Landed(upload.key, upload.etag, upload.version_id),
        wait_for_files_s=settings.wait_for_files_s,
        parameters=Parameters.from_json(settings.preprocessing),
    )
    metrics.add_metric(name=f"Recordings{answer['outcome'].title()}", unit=MetricUnit.Count, value=1)
    logger.info("ingested", extra=answer)
    return answer
