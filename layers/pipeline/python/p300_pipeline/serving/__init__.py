"""The prediction API: what a request may hold, which model answers it, what the answer is."""

from .cache import ALIAS_CHECK_S, INTACT_CHECK_S, ModelCache, Served
from .model_store import ModelStore
from .service import Service

__all__ = ["ALIAS_CHECK_S", "INTACT_CHECK_S", "ModelCache", "ModelStore", "Served", "Service"]
