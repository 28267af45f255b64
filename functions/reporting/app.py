"""Reporting: draws the report of a recording's features, and the plots of a model's metrics."""

import os
import tempfile

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300_pipeline.contracts import PlotInput, PlotResult, ReportInput, ReportResult
from p300_pipeline.settings import ReportingSettings
from p300_pipeline.steps.reporting import draw_pictures, draw_report
from p300_pipeline.storage import Store

logger, metrics, tracer = Logger(), Metrics(), Tracer()
settings = ReportingSettings.from_environment()
os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())  # Matplotlib looks for a place that it may write to


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: ReportInput | PlotInput, context: LambdaContext) -> ReportResult | PlotResult:
    result: ReportResult | PlotResult
    if "key" in event:
        result = draw_report(Store(), settings.features_bucket, event["key"])
        metrics.add_metric(name="ReportsDrawn", unit=MetricUnit.Count, value=int(result["outcome"] == "drawn"))
    else:
        result = draw_pictures(Store(), settings.models_bucket, event["version"])
    logger.info("reported", extra=result)
    return result
