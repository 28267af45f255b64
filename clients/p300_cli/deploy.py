"""Put the template on LocalStack: build and zip what changed, upload it once by content, apply one change set.

(AWS is deployed to by `sam deploy --config-env aws`, from the same template and the same layer builder.)
"""

import hashlib
import importlib.util
import json
import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from p300.errors import P300Error
from p300_client.paths import ENVIRONMENTS, PROJECT, STATE, home_is_writable, require_checkout
from p300_client.target import DEPLOYMENT_BUCKET, STACK, Target

from p300_cli import stack
from p300_cli.terminal import fail, note, progress

LAYERS = {
    "P300Layer": "p300",
    "PipelineLayer": "pipeline",
    "SignalLayer": "signal",
    "ReportingLayer": "reporting",
    "LearningLayer": "learning",
    "TrackingLayer": "tracking",
    "ServingLayer": "serving",
}


def deploy(target: Target, parameters: dict[str, str] | None = None, *, mounted_layers: bool = False) -> str:
    """Deploy the stack; return what happened: ``created``, ``updated`` or ``unchanged``.

    With `mounted_layers` the functions find their packages in a mounted folder (`merge_layers`), and the layers are deployed empty:
    LocalStack in Docker would only store them.
    """
    require_checkout()
    template = read_template(PROJECT / "template.yaml")
    bucket = DEPLOYMENT_BUCKET
    ensure_bucket(target, bucket)
    _point_at_uploads(target, template, bucket, empty_layers=mounted_layers)
    parameters = parameters or {}
    aliases = _keep_versions(template)
    body = json.dumps(template)
    fingerprint = hashlib.sha256(json.dumps([body, sorted(parameters.items())]).encode()).hexdigest()
    existing = stack.settled(target)
    mark = _Mark(target, bucket)
    if existing and mark.read() == {"deployed": fingerprint, "stack": existing["StackId"]}:
        return "updated" if _publish(target, aliases) else "unchanged"
    mark.remove()
    key = f"template/{fingerprint}.json"
    target.client("s3").put_object(Bucket=bucket, Key=key, Body=body.encode())
    stack.apply(target, f"{target.endpoint}/{bucket}/{key}", parameters)
    _publish(target, aliases)
    if deployed := stack.find(target):
        mark.write({"deployed": fingerprint, "stack": deployed["StackId"]})
    return "updated" if existing else "created"


class _Mark:
    """What was deployed to the end: gone before the stack is touched, written when its functions are published as well."""

    def __init__(self, target: Target, bucket: str) -> None:
        self._s3, self._place = target.client("s3"), {"Bucket": bucket, "Key": "deployed.json"}

    def read(self) -> Any:
        try:
            return json.load(self._s3.get_object(**self._place)["Body"])
        except self._s3.exceptions.NoSuchKey:
            return None

    def write(self, document: Mapping[str, str]) -> None:
        self._s3.put_object(**self._place, Body=json.dumps(document).encode())

    def remove(self) -> None:
        self._s3.delete_object(**self._place)


def _keep_versions(template: dict[str, Any]) -> dict[str, str]:
    """Leave the publishing of versions to `_publish`; return the alias of each function that is called by one.

    LocalStack creates an alias and cannot change it: a template with a new version is rolled back. And it names the version before it
    knows the parameters, so that changed ones publish none.
    """
    aliases = {}
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if alias := properties.get("AutoPublishAlias"):
            properties.pop("AutoPublishAliasAllProperties", None)
            properties["AutoPublishCodeSha256"] = "0" * 64
            aliases[name] = alias
    return aliases


def _publish(target: Target, aliases: Mapping[str, str]) -> bool:
    """Publish the functions as they are now and point their aliases there; return whether one did not point there already."""
    client, cloudformation = target.client("lambda"), target.client("cloudformation")
    moved = False
    for name, alias in aliases.items():
        described = cloudformation.describe_stack_resource(StackName=STACK, LogicalResourceId=name)
        function = described["StackResourceDetail"]["PhysicalResourceId"]
        version = client.publish_version(FunctionName=function)[
            "Version"
        ]  # the last one, where nothing has changed since
        if client.get_alias(FunctionName=function, Name=alias)["FunctionVersion"] == version:
            continue
        client.get_waiter("published_version_active").wait(
            FunctionName=function, Qualifier=version, WaiterConfig={"Delay": 1}
        )
        client.update_alias(FunctionName=function, Name=alias, FunctionVersion=version)
        moved = True
    return moved


def read_template(path: Path) -> dict[str, Any]:
    """Return a template with CloudFormation's short tags written out (``!Ref x`` as ``{"Ref": x}``)."""

    class Loader(yaml.SafeLoader):
        pass

    def construct(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            value: Any = loader.construct_scalar(node)
            if suffix == "GetAtt":
                value = value.split(".", 1)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
        return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}

    Loader.add_multi_constructor("!", construct)
    # A version like 2012-10-17 is text to CloudFormation, a date to YAML.
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return dict(yaml.load(path.read_text(), Loader))  # noqa: S506


def ensure_bucket(target: Target, bucket: str) -> None:
    """Make the bucket that the deployment's files go through; ends the command if it belongs to a stack in another region.

    Bucket names are unique over all regions, so that LocalStack, as an account, holds the stack once.
    """
    s3 = target.client("s3")
    try:
        region = s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1"
    except s3.exceptions.NoSuchBucket:
        there = {} if target.region == "us-east-1" else {"LocationConstraint": target.region}
        s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": there} if there else {}))
    else:
        if region != target.region:
            fail(
                f"{target} holds the stack in region {region}, and AWS_REGION is {target.region}. "
                f"Set AWS_REGION={region}, or stop it first: `p300 down`."
            )


def _point_at_uploads(target: Target, template: dict[str, Any], bucket: str, *, empty_layers: bool) -> None:
    """Upload every local path of the template and put its S3 address in place."""
    builder = layer_builder()
    (STATE / "packages").mkdir(parents=True, exist_ok=True)
    jobs: dict[tuple[str, str], Any] = {}
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            layer = "empty" if empty_layers else LAYERS[name]
            jobs[name, "ContentUri"] = lambda layer=layer: _layer_zip(builder, layer)
        elif resource["Type"] == "AWS::Serverless::Function":
            jobs[name, "CodeUri"] = lambda folder=PROJECT / properties["CodeUri"]: _folder_zip(builder, folder)
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            jobs[name, "DefinitionUri"] = lambda file=PROJECT / properties["DefinitionUri"]: _definition(file)
    with progress() as display, ThreadPoolExecutor(2) as pool:
        task = display.add_task("packages", total=len(jobs), detail="")

        def run(place: tuple[str, str], job: Any) -> None:
            path: Path = job()
            key = f"packages/{path.name}"
            _upload_once(target, bucket, key, path)
            uri: Any = {"Bucket": bucket, "Key": key} if place[1] == "DefinitionUri" else f"s3://{bucket}/{key}"
            template["Resources"][place[0]]["Properties"][place[1]] = uri
            display.update(task, advance=1, detail=place[0])

        try:
            for future in [pool.submit(run, place, job) for place, job in jobs.items()]:
                future.result()
        except BaseException:  # Ctrl-C, too: what has not begun is not waited for
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def layer_builder() -> ModuleType:
    """Return `layers/build.py`, which SAM runs as a program, as a module."""
    name = "p300_layer_builder"
    if name not in sys.modules:
        require_checkout()
        own_uv = ENVIRONMENTS / "uv" / "bin" / "uv"
        if not shutil.which("uv") and own_uv.exists():
            os.environ.setdefault("UV", str(own_uv))
        if not home_is_writable():
            os.environ.setdefault("UV_CACHE_DIR", str(ENVIRONMENTS / "cache"))
        spec = importlib.util.spec_from_file_location(name, PROJECT / "layers" / "build.py")
        if spec is None or spec.loader is None:
            raise ImportError("layers/build.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def merge_layers(folder: Path) -> None:
    """Build all layers into one folder, which LocalStack in Docker mounts as every function's ``/opt``.

    All locks hold the same versions, so layers share files and never contradict each other.
    """
    builder = layer_builder()
    partial = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(partial, ignore_errors=True)
    for layer in LAYERS.values():
        built = _build(builder, layer)
        shutil.copytree(built.path, partial, dirs_exist_ok=True)
        note(f"{layer}: {built.size_bytes / 1e6:.1f} MB")
    # The folder stays the same one: a running LocalStack has it mounted.
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "python", ignore_errors=True)
    (partial / "python").rename(folder / "python")
    partial.rmdir()


def _build(builder: ModuleType, layer: str) -> Any:
    try:
        return builder.build_layer(layer, cache=STATE / "layers")
    except builder.LayerBuildError as error:
        raise P300Error("layer_not_built", str(error)) from error


def _layer_zip(builder: ModuleType, layer: str) -> Path:
    if layer == "empty":
        folder = STATE / "packages" / "empty"
        folder.mkdir(exist_ok=True)
        (folder / "README").write_text("The packages of this layer are mounted.")
        return _zipped(builder, folder, "empty.zip")
    built = _build(builder, layer)
    return _zipped(builder, built.path, f"{layer}-{built.inputs_sha256[:16]}.zip")


def _folder_zip(builder: ModuleType, folder: Path) -> Path:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return _zipped(builder, folder, f"{folder.name}-{digest.hexdigest()[:16]}.zip")


def _zipped(builder: ModuleType, folder: Path, name: str) -> Path:
    path = STATE / "packages" / name
    if not path.exists():
        # Two layers may need the same package at once: each writes its own, and the last one to finish replaces an equal one.
        partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
        builder.zip_tree(folder, partial)
        partial.rename(path)
    return path


def _definition(file: Path) -> Path:
    """Return the state machine as JSON: the one form that every reader of a definition knows."""
    body = json.dumps(yaml.safe_load(file.read_text())).encode()
    path = STATE / "packages" / f"{file.name.partition('.')[0]}-{hashlib.sha256(body).hexdigest()[:16]}.asl.json"
    path.write_bytes(body)
    return path


def _upload_once(target: Target, bucket: str, key: str, path: Path) -> None:
    s3 = target.client("s3")
    try:
        if s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == path.stat().st_size:
            return
    except s3.exceptions.ClientError:
        pass
    with path.open("rb") as body:
        s3.put_object(Bucket=bucket, Key=key, Body=body)


def describe(target: Target, outcome: str, seconds: float) -> None:
    """Say what a deployment did."""
    note(f"stack {STACK} {outcome} on {target} (region {target.region}) in {seconds:.1f} s")
