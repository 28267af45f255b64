"""Inventory: lists the raw recordings for a backfill, and sums up the outcomes."""

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300_pipeline.contracts import Inventory, InventoryInput, InventorySummary
from p300_pipeline.executions import check_no_input
from p300_pipeline.settings import InventorySettings
from p300_pipeline.steps.backfill import list_recordings, sum_up
from p300_pipeline.storage import Store

logger, tracer = Logger(), Tracer()
settings = InventorySettings.from_environment()


@logger.inject_lambda_context(correlation_id_path="execution")
@tracer.capture_lambda_handler
def handler(event: InventoryInput, context: LambdaContext) -> Inventory | InventorySummary:
    result: Inventory | InventorySummary
    match event["step"]:
        case "list":
            check_no_input(event["input"])
            result = list_recordings(Store(), settings.raw_bucket, settings.features_bucket, event["execution"])
        case "sum_up":
            result = sum_up(Store(), settings.features_bucket, event["execution"])
        case other:
            raise ValueError(f"Unknown step {other!r}: expected list or sum_up.")
    logger.info(event["step"], extra=result)
    return result
