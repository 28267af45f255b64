"""The compose file's one-shot deployment: runs in LocalStack's own image, and takes missing packages from the checkout's environment."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p300_client.target import Target

PROJECT = Path(__file__).resolve().parents[2]
MINIO_URL = "http://minio:9000"
MINIO_KEY_PARAMETER = "/p300/storage-key"


def use_checkout() -> None:
    """Make `p300_cli` and its dependencies importable from the mounted checkout; its compiled packages are not used here."""
    site_packages = sorted((PROJECT / ".venv" / "lib").glob("python3.*/site-packages"))
    if not site_packages or not (PROJECT / ".local" / "opt" / "python").is_dir():
        sys.exit(
            "The layers have not been built: run `make layers` in the checkout, then `docker compose up --wait` again."
        )
    own = [PROJECT / "layers" / name / "python" for name in ("p300", "pipeline")]
    sys.path += [str(path) for path in (PROJECT / "clients", *own, site_packages[-1])]


def main() -> None:
    """Deploy the stack; with P300_STORAGE=minio, its buckets on MinIO."""
    use_checkout()
    from p300_cli.deploy import deploy, describe
    from p300_client.target import Target

    target = Target(os.environ["AWS_ENDPOINT_URL"])
    parameters = {}
    if os.environ.get("P300_STORAGE") == "minio":
        parameters = {"S3EndpointUrl": MINIO_URL, "S3KeyParameter": MINIO_KEY_PARAMETER}
        keep_key(target)
    describe(target, deploy(target, parameters, mounted_layers=True), 0)
    if parameters:
        make_buckets(target)


def keep_key(target: "Target") -> None:
    """Give MinIO's key to the functions as a secret of the stack."""
    key = {
        "aws_access_key_id": os.environ["MINIO_ROOT_USER"],
        "aws_secret_access_key": os.environ["MINIO_ROOT_PASSWORD"],
    }
    target.client("ssm").put_parameter(
        Name=MINIO_KEY_PARAMETER, Value=json.dumps(key), Type="SecureString", Overwrite=True
    )


def make_buckets(target: "Target") -> None:
    """Create the stack's buckets on MinIO, versioned as in the template; PUTs into the landing zone are notified to the bridge."""
    import boto3

    s3 = boto3.client(
        "s3",
        endpoint_url=MINIO_URL,
        aws_access_key_id=os.environ["MINIO_ROOT_USER"],
        aws_secret_access_key=os.environ["MINIO_ROOT_PASSWORD"],
    )
    names = {name: target.outputs[f"{name}BucketName"] for name in ("Landing", "Raw", "Features", "Models")}
    existing = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name, bucket in names.items():
        if bucket not in existing:
            s3.create_bucket(Bucket=bucket)
        if name != "Features":
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=names["Landing"],
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": "arn:minio:sqs::P300:webhook", "Events": ["s3:ObjectCreated:*"]}]
        },
    )


if __name__ == "__main__":
    main()
