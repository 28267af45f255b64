"""Lets resources of a SAM template refer to what the SAM transform generates, such as `!Ref Function.Alias`.

LocalStack's CloudFormation engine resolves all references in a template before it runs the SAM transform, to find
`Fn::Transform`, and refuses references to resources that do not exist yet. Templates without `Fn::Transform` do not
need this search; references to nothing are still refused, after the transform.
"""

import json

from localstack.services.cloudformation.engine.v2.change_set_model_transform import ChangeSetModelTransform

from . import repairs


def install() -> None:
    """Make the engine skip the search if there is nothing to find."""
    search = repairs.original(ChangeSetModelTransform, "_execute_local_transforms", parameters=("self",))

    def search_if_needed(self: ChangeSetModelTransform) -> None:
        if _has_local_transform(self._before_template) or _has_local_transform(self._after_template):
            search(self)

    repairs.replace(ChangeSetModelTransform, "_execute_local_transforms", lambda _usual: search_if_needed)


def _has_local_transform(template: object) -> bool:
    return isinstance(template, dict) and "Fn::Transform" in json.dumps(template.get("Resources"), default=str)
