"""Why features do not fit a model, if they do not: other preprocessing, other channels."""

from collections.abc import Mapping, Sequence
from typing import Any

from p300.features import FeatureSet
from p300.montages import missing, why_not_interpolated
from p300.text import few_of

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
    """Say that channels are missing; None where they are there, in any order and among others, or can be interpolated."""
    if why := why_not_interpolated(found, expected):
        return f"channels {few_of(found)}; the model takes {few_of(expected)}: {few_of(missing(found, expected))} missing, {why}"
    return None
