"""What several unit test modules need."""

from collections.abc import Callable
from typing import Any

import pytest
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.buckets import MODELS


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, MODELS)


@pytest.fixture
def people(put_features: Callable[..., Any]) -> list[str]:
    """Three people with one recording each."""
    names = [f"subject_{number:02d}/run_1" for number in (1, 2, 3)]
    for name in names:
        put_features(name)
    return names
