"""Training: trains a challenger on the available features, in one function or in several, and makes subjects' personal models."""

from datetime import datetime
from typing import cast

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from p300.signals.parameters import Parameters
from p300_pipeline import executions
from p300_pipeline.contracts import PersonalInput, PersonalResult, SpreadInput, SpreadResult, TrainInput, TrainResult
from p300_pipeline.settings import TrainingSettings
from p300_pipeline.steps.training import Spread, SpreadTraining, TrainingRequest, finish, make_personal, train
from p300_pipeline.storage import Store

logger, metrics, tracer = Logger(), Metrics(), Tracer()
settings = TrainingSettings.from_environment()


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(
    event: TrainInput | SpreadInput | PersonalInput, context: LambdaContext
) -> TrainResult | SpreadResult | PersonalResult:
    executions.parse(event["input"], event["execution"])
    execution = executions.root_of(event["execution"], event["input"])
    if "spread" in event:
        return _spread(event, execution)
    started = datetime.fromisoformat(event["started"])
    if "personal" in event:
        personal = make_personal(
            Store(),
            settings.features_bucket,
            settings.models_bucket,
            event["personal"],
            execution=execution,
            started=started,
            memory_mb=settings.memory_mb,
        )
        logger.info("personal model", extra=personal)
        return personal
    result = train(
        Store(),
        settings.features_bucket,
        settings.models_bucket,
        TrainingRequest.parse(event["request"], settings.model_kind),
        Parameters.from_json(settings.preprocessing),
        execution=execution,
        started=started,
        memory_mb=settings.memory_mb,
        spread=Spread(settings.spread_from, settings.spread_over),
    )
    if result["outcome"] == "spread":
        logger.info("spread", extra={"version": result["version"]})
        return cast(SpreadResult, result)
    return _trained(cast(TrainResult, result))


def _spread(event: SpreadInput, execution: str) -> TrainResult | SpreadResult:
    version, item = event["spread"]["version"], event["spread"]["item"]
    if event["spread"]["step"] == "finish":
        return _trained(finish(Store(), settings.models_bucket, version, execution=execution))
    SpreadTraining(Store(), settings.models_bucket, version).compute(settings.features_bucket, item)
    return {"outcome": "computed", "version": version, "item": item}


def _trained(result: TrainResult) -> TrainResult:
    if auc := result.get("auc_mean"):
        metrics.add_metric(name="LeftOutAuc", unit=MetricUnit.NoUnit, value=auc)
    logger.info("trained", extra=result)
    return result
