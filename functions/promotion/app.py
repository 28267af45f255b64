"""Promotion: the challenger becomes the champion unless it is worse."""

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300_pipeline import executions
from p300_pipeline.contracts import PromoteInput, PromoteResult
from p300_pipeline.settings import PromotionSettings
from p300_pipeline.steps.training import promote
from p300_pipeline.storage import Store

logger, tracer = Logger(), Tracer()
settings = PromotionSettings.from_environment()


@logger.inject_lambda_context(correlation_id_path="execution")
@tracer.capture_lambda_handler
def handler(event: PromoteInput, context: LambdaContext) -> PromoteResult:
    execution = executions.root_of(event["execution"], event["input"])
    result = promote(Store(), settings.models_bucket, event["version"], execution=execution)
    logger.info("compared", extra=result)
    return result
