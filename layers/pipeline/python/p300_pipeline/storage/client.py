"""The process's S3 client."""

import json
import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@cache
def default_client() -> "S3Client":
    """Return the process's S3 client: path-style addresses, as every S3 server understands them.

    ``AWS_ENDPOINT_URL_S3`` moves the storage to another S3 server; ``P300_S3_KEY_PARAMETER`` names the SSM parameter with a key for it.
    """
    import boto3
    from botocore.config import Config

    config = Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 5})
    key: dict[str, str] = {}
    if parameter := os.environ.get("P300_S3_KEY_PARAMETER"):
        answer = boto3.client("ssm").get_parameter(Name=parameter, WithDecryption=True)
        key = json.loads(answer["Parameter"]["Value"])
    return boto3.client("s3", config=config, **key)  # type: ignore[call-overload, no-any-return]
