"""Why features do not fit a model, if they do not: other preprocessing, other channels."""

from collections.abc import Mapping, Sequence
from typing import Any

from p300.channels import match
from p300.errors import P300Error
from p300.features import FeatureSet

Recipe = Mapping[str, Any]
"""All that decides which features a signal becomes, by name: features of different recipes are never mixed."""


def recipe_of(features: FeatureSet) -> Recipe:
    """Return what made features, as their file states it."""
    return features.parameters.to_dict()


def misfit(features: FeatureSet, recipe: Recipe, channels: Sequence[str]) -> str | None:
    """Say why features are not for a model of this preprocessing and these channels; None where they are."""
    return other_recipe(recipe_of(features), recipe) or other_channels(features.ch_names, channels)


def other_recipe(found: Recipe, expected: Recipe) -> str | None:
    """Say in what features were made differently, and what to do; None where they were not."""
    differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if not differing:
        return None
    made, wanted = (", ".join(f"{name} {recipe.get(name)}" for name in differing) for recipe in (found, expected))
    return f"made with {made}; expected {wanted}. `p300 backfill` makes features with the stack's present Preprocessing"


def other_channels(found: Sequence[str], expected: Sequence[str]) -> str | None:
    """Say that channels differ; None where they are the same in any order."""
    try:
        match(found, expected)
    except P300Error:
        return f"channels {' '.join(found)}; this stack learns {' '.join(expected)}"
    return None
