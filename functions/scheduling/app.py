"""Scheduling: counts new recordings, and says whether training is due."""

from datetime import datetime

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300_pipeline import executions
from p300_pipeline.contracts import ScheduleInput, ScheduleResult
from p300_pipeline.settings import SchedulingSettings
from p300_pipeline.steps.scheduling import check_due
from p300_pipeline.storage import Store

logger, tracer = Logger(), Tracer()
settings = SchedulingSettings.from_environment()


@logger.inject_lambda_context(correlation_id_path="execution")
@tracer.capture_lambda_handler
def handler(event: ScheduleInput, context: LambdaContext) -> ScheduleResult:
    result = check_due(
        Store(),
        settings.features_bucket,
        settings.models_bucket,
        recording=event["recording"],
        etag=event["etag"],
        channels=event["channels"],
        labelled=event["labelled"],
        execution=executions.root_of(event["execution"], event["input"]),
        started=datetime.fromisoformat(event["started"]).timestamp(),
        retrain_every=settings.retrain_every,
    )
    logger.info("counted", extra=result)
    return result
