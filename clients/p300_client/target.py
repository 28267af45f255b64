"""Where the stack is, AWS or LocalStack; the clients to talk to it; and its outputs.

``AWS_ENDPOINT_URL`` decides if it is set, and an ``AWS_PROFILE`` that points elsewhere is refused. Otherwise AWS credentials in the
environment (``AWS_PROFILE``, ``AWS_ACCESS_KEY_ID``) mean AWS, or the endpoint that the profile names; without them, it is LocalStack on
this machine.
"""

import os
import re
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from p300.errors import P300Error

from p300_client import credential
from p300_client.errors import short, unreachable

if TYPE_CHECKING:
    from p300.signals import Parameters

STACK = os.environ.get("P300_STACK", "p300")
DEPLOYMENT_BUCKET = f"{STACK}-deployment"
"""Bucket through which a deployment's files go; it is in the stack's region."""
LOCAL_ENDPOINT = "http://localhost:4566"
_DEFAULT_REGION = "us-east-1"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LOCAL_HOSTS = {*_LOOPBACK, "localhost.localstack.cloud", "localstack", "host.docker.internal"}
_OF_ENDPOINT = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
_BUCKETS = ("LANDING", "RAW", "FEATURES", "MODELS")
_EXPORTED = {"P300_API_URL", "P300_API_KEY", "P300_STATE_MACHINE_ARN", *(f"P300_{name}_BUCKET" for name in _BUCKETS)}
SILENCE_S = 20


class NoStackError(P300Error):
    """The target does not answer, or has no stack."""


@dataclass
class Target:
    """A place to deploy to and run on.

    Attributes
    ----------
    endpoint : str or None
        URL of LocalStack; None on AWS.
    client_options : dict
        Options of botocore's ``Config`` that override the defaults.
    """

    endpoint: str | None
    client_options: dict[str, Any] = field(default_factory=dict, repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        host = urlsplit(self.endpoint or "").hostname
        if host in _LOCAL_HOSTS:
            os.environ |= no_proxy(host, f"[{host}]")

    @property
    def is_local(self) -> bool:
        """Whether this is LocalStack."""
        return self.endpoint is not None

    @property
    def port(self) -> int:
        """Port of LocalStack."""
        parts = urlsplit(self.endpoint or LOCAL_ENDPOINT)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @cached_property
    def region(self) -> str:
        """The region: from the environment, on AWS also from the profile.

        Raises
        ------
        P300Error
            ``bad_region``: it is not the name of a region.
        """
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if not region and self.endpoint is None:
            import boto3

            region = boto3.Session().region_name
        region = region or _DEFAULT_REGION
        if not re.fullmatch(r"[a-z]+(-[a-z]+)+-[0-9]+", region):
            raise P300Error(
                "bad_region", f"AWS_REGION is {region!r}, which is not a region; expected one such as us-east-1."
            )
        return region

    def __str__(self) -> str:
        return f"LocalStack at {self.endpoint}" if self.endpoint else f"AWS, region {self.region}"

    def client(self, service: str) -> Any:
        """Return a boto3 client; from localstack-client's session for a local endpoint, from plain boto3 for AWS."""
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def _make(self, service: str) -> Any:
        try:
            return self._made(service)
        except (
            ValueError
        ) as error:  # an invalid number in the environment or in ~/.aws/config, such as AWS_MAX_ATTEMPTS
            if isinstance(error, P300Error):
                raise
            raise P300Error(
                "bad_aws_setting",
                f"An AWS setting is invalid: {error}. Correct the environment variable AWS_... or ~/.aws/config.",
            ) from error

    def _made(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        options = {"retries": {"mode": "standard"}, "max_pool_connections": 32, **self.client_options}
        config = Config(s3={"addressing_style": "path"}, **options)
        storage_elsewhere = service == "s3" and os.environ.get("AWS_ENDPOINT_URL_S3")
        if self.endpoint is None or storage_elsewhere:  # boto3 reads AWS_ENDPOINT_URL_S3 and its keys by itself
            return boto3.client(service, region_name=self.region, config=config)  # type: ignore[call-overload]
        from localstack_client.session import Session

        keys = credential.for_endpoint(self.endpoint)
        session = Session(keys.access_key_id, keys.secret_access_key, region_name=self.region)
        # The session would take the endpoint from the environment, which other targets and libraries in this process share.
        session._service_endpoint_mapping = dict.fromkeys(session._service_endpoint_mapping, self.endpoint)
        client = session.client(service, config=config)
        if client.meta.endpoint_url != self.endpoint:
            raise RuntimeError(
                f"localstack-client made a client of {client.meta.endpoint_url}, expected {self.endpoint}"
            )
        return client

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs.

        Raises
        ------
        NoStackError
            ``no_stack``, ``no_answer``, ``incomplete`` or ``refused``; the next access looks again.
        """
        return {output["OutputKey"]: output["OutputValue"] for output in self._stack["Outputs"]}

    @property
    def preprocessing(self) -> "Parameters":
        """The stack's preprocessing parameters; raises as `outputs` does."""
        from p300.signals import Parameters

        stated = {one["ParameterKey"]: one.get("ParameterValue", "") for one in self._stack.get("Parameters", [])}
        return Parameters.from_json(stated.get("Preprocessing", ""))

    @cached_property
    def _stack(self) -> dict[str, Any]:
        from botocore.exceptions import ClientError
        from botocore.parsers import ResponseParserError

        command = "p300 deploy" if self.is_local else "sam deploy --config-env aws"
        if self.endpoint:
            _refuse_silence(self.endpoint)
        try:
            stack: dict[str, Any] = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        except ClientError as error:
            if self.is_local and error.response["Error"]["Code"] in credential.REFUSALS:
                raise NoStackError("refused", f"{self} refuses this command's key. {credential.ADVICE}") from error
            if "does not exist" not in str(error):
                raise
            where = f"{self}, region {self.region}" if self.is_local else str(self)
            elsewhere = self._region_of_stack()
            advice = (
                f"It is in region {elsewhere}: set AWS_REGION={elsewhere}."
                if elsewhere
                else f"Deploy it with `{command}`."
            )
            raise NoStackError("no_stack", f"There is no stack {STACK!r} on {where}. {advice}") from error
        except unreachable() as error:
            advice = "Start it with `p300 up`, or set AWS_ENDPOINT_URL." if self.is_local else "Is there a network?"
            what = "something else does" if isinstance(error, ResponseParserError) else short(error)
            raise NoStackError("no_answer", f"{self} does not answer ({what}). {advice}") from error
        if not stack.get("Outputs"):
            raise NoStackError(
                "incomplete", f"The stack {STACK!r} on {self} is {stack['StackStatus']}. Finish it with `{command}`."
            )
        return stack

    def _region_of_stack(self) -> str | None:
        """Return the other region in which this LocalStack holds the stack, of which it holds at most one; None if it holds none."""
        from botocore.exceptions import ClientError

        if not self.is_local:
            return None
        try:
            location = self.client("s3").get_bucket_location(Bucket=DEPLOYMENT_BUCKET)
        except ClientError:
            return None
        region = str(location["LocationConstraint"] or "us-east-1")
        return region if region != self.region else None

    @cached_property
    def api_url(self) -> str:
        """Base URL of the prediction API."""
        if self.endpoint:
            return f"{self.endpoint.rstrip('/')}/_aws/execute-api/{self.outputs['ApiId']}/{self.outputs['ApiStage']}"
        return self.outputs["ApiUrl"]

    @cached_property
    def api_key(self) -> str:
        """The key that the API expects in ``x-api-key``."""
        api = self.client("apigateway")
        for plan in api.get_usage_plans(limit=500)["items"]:
            if plan["name"] == f"{STACK}-usage":
                key = api.get_usage_plan_keys(usagePlanId=plan["id"])["items"][0]["id"]
                return str(api.get_api_key(apiKey=key, includeValue=True)["value"])
        raise NoStackError("no_key", f"{self} has no usage plan {STACK}-usage. Deploy the stack again.")

    def environment(self) -> dict[str, str]:
        """Return what `p300 env` prints."""
        outputs = self.outputs
        result = {}
        if self.endpoint:
            keys = credential.for_endpoint(self.endpoint)
            result = {
                "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_ACCESS_KEY_ID": keys.access_key_id,
                "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
                "AWS_DEFAULT_REGION": self.region,
                **no_proxy(),
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


def _refuse_silence(endpoint: str) -> None:
    """Refuse a server that accepts connections but never answers: botocore would wait for minutes."""
    try:
        with urllib.request.urlopen(f"{endpoint}/_localstack/health", timeout=SILENCE_S):  # noqa: S310
            return
    except TimeoutError as error:
        raise NoStackError(
            "no_answer",
            f"{endpoint} accepts connections, but did not answer within {SILENCE_S} s. Is it LocalStack? Check AWS_ENDPOINT_URL.",
        ) from error
    except (OSError, HTTPException):  # refused, or not LocalStack: botocore's own errors will say so
        return


def no_proxy(*hosts: str) -> dict[str, str]:
    """Return the variables that keep boto3, urllib, curl and others from using a proxy for this machine."""
    names = [name for name in ("no_proxy", "NO_PROXY") if os.environ.get(name)] or ["NO_PROXY"]
    given = [entry.strip() for name in names for entry in os.environ.get(name, "").split(",")]
    value = "*" if "*" in given else ",".join(dict.fromkeys(filter(None, [*given, *_LOOPBACK, *hosts])))
    return dict.fromkeys(names, value)


def choose() -> Target:
    """Return the target that the environment names.

    Raises
    ------
    P300Error
        ``bad_endpoint``: AWS_ENDPOINT_URL is not a valid address. ``two_targets``: it contradicts AWS_PROFILE.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "").strip().rstrip("/")
    profile = os.environ.get("AWS_PROFILE")
    has_key = bool(os.environ.get("AWS_ACCESS_KEY_ID"))
    configured = _configured() if profile or (has_key and not endpoint) else None
    if endpoint:
        _check(endpoint)
        if profile and configured != endpoint:
            raise P300Error(
                "two_targets",
                f"AWS_ENDPOINT_URL is {endpoint}, perhaps from an earlier `export $(p300 env)`, and AWS_PROFILE is {profile!r}, "
                f'which points to {configured or "AWS"}. To use the profile: eval "$(p300 env --unset)". '
                "To use the endpoint: unset AWS_PROFILE.",
            )
        return Target(endpoint)
    if configured:
        _check(configured, f"endpoint_url of the profile {profile or 'default'}")
        return Target(configured)
    if profile or has_key:
        return Target(None)
    return Target(LOCAL_ENDPOINT)


def _configured() -> str | None:
    """Return the endpoint that the profile names in the AWS configuration, if boto3 would use it."""
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    from botocore.session import Session

    found = Session(profile=os.environ.get("AWS_PROFILE") or None).get_scoped_config().get("endpoint_url")
    return str(found).strip().rstrip("/") if found else None


def exported() -> list[str]:
    """Return the variables in this environment that `export $(p300 env)` has set.

    Keys and region are included only if AWS_ENDPOINT_URL is set: without it they are the user's own. NO_PROXY stays; it does no harm.
    """
    names = [name for name in os.environ if name in _EXPORTED]
    return sorted(names + [name for name in _OF_ENDPOINT if name in os.environ and "AWS_ENDPOINT_URL" in os.environ])


def _check(endpoint: str, of: str = "AWS_ENDPOINT_URL") -> None:
    try:
        parts = urlsplit(endpoint)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.path
    except ValueError:  # a port out of range, an unfinished IPv6 address
        sound = False
    if not sound:
        raise P300Error(
            "bad_endpoint",
            f"{of} is {endpoint!r}: expected http://<host>:<port>, such as {LOCAL_ENDPOINT}.",
        )


def require_local(target: Target) -> None:
    """Refuse a target that is not LocalStack on this machine.

    Raises
    ------
    P300Error
        ``not_local``.
    """
    if target.endpoint is None:
        raise P300Error(
            "not_local",
            "This runs on LocalStack only, but the environment points to AWS (AWS_PROFILE or AWS_ACCESS_KEY_ID). "
            "Unset them, or set AWS_ENDPOINT_URL.",
        )
    parts = urlsplit(target.endpoint)
    if parts.hostname not in _LOCAL_HOSTS or parts.scheme != "http":
        raise P300Error(
            "not_local",
            f"AWS_ENDPOINT_URL is {target.endpoint}: expected http:// and this machine, such as {LOCAL_ENDPOINT}.",
        )
