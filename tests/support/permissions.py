"""What the roles of the template allow, compared with what is done by them."""

import re
from fnmatch import fnmatchcase
from typing import Any

from tests.support.template import RESOURCES, listed, of_type, properties

ACCOUNT, REGION = "123456789012", "us-east-1"
PARAMETERS = {"BucketPrefix": "p300", "WandbKeyParameter": "/p300/wandb", "S3KeyParameter": "/p300/storage"}

type Use = tuple[str, str]
"""An action and the ARN of what it is done to."""


def resolved(value: Any) -> str:
    """Return what CloudFormation makes of a resource in a statement."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Ref":
        return PARAMETERS.get(argument) or arn(argument)
    if function == "Fn::GetAtt":
        return arn(argument[0])
    if function == "Fn::Sub":
        pseudo = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::StackName": "p300"}
        known = {**pseudo, **PARAMETERS}
        return re.sub(r"\$\{([^}]+)\}", lambda m: known.get(m[1]) or arn(m[1].removesuffix(".Arn")), argument)
    raise AssertionError(f"{function} is not resolved here")


def arn(name: str) -> str:
    """Return the ARN of a resource of the template."""
    kind, one = RESOURCES[name]["Type"], RESOURCES[name]["Properties"]
    if kind == "AWS::S3::Bucket":
        return f"arn:aws:s3:::{resolved(one['BucketName'])}"
    service = {"Function": "lambda", "LogGroup": "logs", "Topic": "sns", "Queue": "sqs", "Key": "kms"}[
        kind.split("::")[-1]
    ]
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def allowed(role: str) -> list[Use]:
    """Return what a role's policies allow, an action and a pattern of resources each."""
    statements = [one for policy in properties(role)["Policies"] for one in policy["PolicyDocument"]["Statement"]]
    for one in of_type("AWS::IAM::ManagedPolicy").values():
        if {"Ref": role} in one["Roles"]:
            statements += one["PolicyDocument"]["Statement"]
    statements = [one["Fn::If"][1] if "Fn::If" in one else one for one in statements]
    assert all(one["Effect"] == "Allow" for one in statements)
    return [
        (action, resolved(resource))
        for one in statements
        for action in listed(one["Action"])
        for resource in listed(one["Resource"])
    ]


def compare(role: str, used: set[Use]) -> None:
    """Each use is allowed, and each permission is used."""
    permissions = allowed(role)
    missing = {
        use
        for use in used
        if not any(use[0] == action and fnmatchcase(use[1], pattern) for action, pattern in permissions)
    }
    assert not missing, f"{role} may not do what it does"
    idle = {
        (action, pattern)
        for action, pattern in permissions
        if not any(use[0] == action and fnmatchcase(use[1], pattern) for use in used)
    }
    assert not idle, f"{role} may do what it never does"
