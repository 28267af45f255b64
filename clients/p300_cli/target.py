"""Which AWS the command talks to, with which clients, and what the stack there offers.

``AWS_ENDPOINT_URL`` decides if it is set; else AWS credentials in the environment (``AWS_PROFILE``, ``AWS_ACCESS_KEY_ID``) mean AWS;
else it is LocalStack on this machine.
"""

import os
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any
from urllib.parse import urlsplit

from p300.errors import P300Error

from p300_cli.terminal import fail, note

STACK = os.environ.get("P300_STACK", "p300")
REGION = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
LOCAL_ENDPOINT = "http://localhost:4566"
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1", "localhost.localstack.cloud", "localstack", "host.docker.internal"}


class NoStackError(P300Error):
    """Nobody answers at the target, or there is no stack on it."""


@dataclass
class Target:
    """A place to deploy to and run on.

    Attributes
    ----------
    endpoint : str or None
        URL of LocalStack; None on AWS.
    client_options : dict
        Of botocore's ``Config``, where the command's own will not do.
    """

    endpoint: str | None
    client_options: dict[str, Any] = field(default_factory=dict, repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether this is LocalStack."""
        return self.endpoint is not None

    @property
    def port(self) -> int:
        """Port of LocalStack."""
        return urlsplit(self.endpoint or LOCAL_ENDPOINT).port or 4566

    def __str__(self) -> str:
        return f"LocalStack at {self.endpoint}" if self.endpoint else f"AWS, region {REGION}"

    def client(self, service: str) -> Any:
        """Return a boto3 client; from localstack-client's session for a local endpoint, from plain boto3 for AWS."""
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def _make(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        options = {"retries": {"mode": "standard"}, "max_pool_connections": 32, **self.client_options}
        config = Config(s3={"addressing_style": "path"}, **options)
        storage_elsewhere = service == "s3" and os.environ.get("AWS_ENDPOINT_URL_S3")
        if self.endpoint is None or storage_elsewhere:  # boto3 reads AWS_ENDPOINT_URL_S3 and its keys by itself
            return boto3.client(service, region_name=REGION, config=config)  # type: ignore[call-overload]
        from localstack_client.session import Session

        # The session takes its address from AWS_ENDPOINT_URL, as `choose` does.
        os.environ["AWS_ENDPOINT_URL"] = self.endpoint
        return Session(region_name=REGION).client(service, config=config)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs.

        Raises
        ------
        NoStackError
            ``no_stack`` or ``no_answer``; it is looked for again the next time.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            stack = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            command = "p300 deploy" if self.is_local else "sam deploy --config-env aws"
            raise NoStackError(
                "no_stack", f"There is no stack {STACK!r} on {self}. Deploy it with `{command}`."
            ) from error
        except BotoCoreError as error:
            advice = "Start it with `p300 up`, or set AWS_ENDPOINT_URL."
            raise NoStackError("no_answer", f"{self} does not answer ({error}). {advice}") from error
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    @cached_property
    def api_url(self) -> str:
        """Base URL of the prediction API."""
        if self.endpoint:
            return f"{self.endpoint.rstrip('/')}/_aws/execute-api/{self.outputs['ApiId']}/{self.outputs['ApiStage']}"
        return self.outputs["ApiUrl"]

    @cached_property
    def api_key(self) -> str:
        """The key that the API wants in ``x-api-key``."""
        api = self.client("apigateway")
        for plan in api.get_usage_plans(limit=500)["items"]:
            if plan["name"] == f"{STACK}-usage":
                key = api.get_usage_plan_keys(usagePlanId=plan["id"])["items"][0]["id"]
                return str(api.get_api_key(apiKey=key, includeValue=True)["value"])
        raise NoStackError("no_key", f"There is no usage plan {STACK}-usage on {self}. Deploy the stack again.")

    def environment(self) -> dict[str, str]:
        """Return what `p300 env` prints."""
        outputs = self.outputs
        result = {}
        if self.endpoint:
            result = {
                "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": REGION,
            }
        return result | {
            "P300_API_URL": self.api_url,
            "P300_API_KEY": self.api_key,
            "P300_STATE_MACHINE_ARN": outputs["StateMachineArn"],
            "P300_LANDING_BUCKET": outputs["LandingBucketName"],
            "P300_RAW_BUCKET": outputs["RawBucketName"],
            "P300_FEATURES_BUCKET": outputs["FeaturesBucketName"],
            "P300_MODELS_BUCKET": outputs["ModelsBucketName"],
        }


@cache
def current() -> Target:
    """Return the target that the environment names, and say which it is."""
    target = choose()
    note(f"target: {target}")
    return target


def choose() -> Target:
    """Return the target that the environment names."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        return Target(endpoint)
    if os.environ.get("AWS_PROFILE") or os.environ.get("AWS_ACCESS_KEY_ID"):
        return Target(None)
    return Target(LOCAL_ENDPOINT)


def local() -> Target:
    """Return the target, which has to be LocalStack on this machine."""
    target = current()
    if target.endpoint is None:
        fail(
            "This runs on LocalStack only, but the environment names AWS (AWS_PROFILE or AWS_ACCESS_KEY_ID). "
            "Unset them, or set AWS_ENDPOINT_URL."
        )
    if urlsplit(target.endpoint).hostname not in _LOCAL_HOSTS:
        fail(f"{target.endpoint} is not on this machine.")
    return target
