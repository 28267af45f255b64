"""The state machines' definitions."""

from typing import Any

import yaml

from tests.support.paths import PROJECT

FOLDER = PROJECT / "statemachine"


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML itself lets the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"line {node.start_mark.line + 1}: a key stands twice in {keys}"
        return super().construct_mapping(node, deep)


def definition(name: str) -> dict[str, Any]:
    return dict(yaml.load((FOLDER / f"{name}.asl.yaml").read_text(), _Loader))  # noqa: S506


PIPELINE, BACKFILL = definition("pipeline"), definition("backfill")
STATES: dict[str, dict[str, Any]] = PIPELINE["States"]
EACH = BACKFILL["States"]["Every recording"]["ItemProcessor"]
SPREAD = {name: STATES[name]["ItemProcessor"] for name in ("Fit folds", "Score folds")}
GRAPHS = {"pipeline": PIPELINE, "backfill": BACKFILL, "each recording": EACH, **SPREAD}
