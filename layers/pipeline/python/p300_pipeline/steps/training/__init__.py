"""From features to a serving model: train a challenger, evaluate it through inference, promote it."""

from p300_pipeline.steps.training.evaluate import Predict, evaluate
from p300_pipeline.steps.training.personal import PERSONAL_MARGIN_AUC, make_personal
from p300_pipeline.steps.training.promote import PROMOTION_MARGIN_AUC, promote
from p300_pipeline.steps.training.request import TrainingRequest
from p300_pipeline.steps.training.spread import Spread, SpreadTraining
from p300_pipeline.steps.training.train import finish, train

__all__ = [
    "PERSONAL_MARGIN_AUC",
    "PROMOTION_MARGIN_AUC",
    "Predict",
    "Spread",
    "SpreadTraining",
    "TrainingRequest",
    "evaluate",
    "finish",
    "make_personal",
    "promote",
    "train",
]
