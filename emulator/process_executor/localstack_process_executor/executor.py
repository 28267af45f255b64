"""LocalStack's side of the executor: translates function versions and invocations to sandboxes and back."""

import logging
from functools import partial
from pathlib import Path

from localstack import config
from localstack.aws.api.lambda_ import PackageType
from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import (
    FunctionVersion,
    HotReloadingCode,
    InvocationResult,
    LayerVersion,
    S3Code,
    VersionFunctionConfiguration,
)
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor
from localstack.utils.objects import singleton_factory

from .bytecode import BytecodeCache
from .environment import function_environment
from .gateway import installation
from .launch import command, confinement
from .layers import Layer, LayerCache
from .reaper import Reaper
from .sandbox import Event, FunctionSpec, InitError, Sandbox
from .settings import SettingsError, settings

LOG = logging.getLogger(__name__)


class ProcessRuntimeExecutor(RuntimeExecutor):
    """Runs one execution environment of a Python function as a local process."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002
        super().__init__(id, function_version)
        self._sandbox: Sandbox | None = None
        self._last_log = ""
        self._access_key_id = ""
        self._code_stamp = _code_stamp(function_version)

    @classmethod
    def validate_environment(cls) -> bool:
        try:
            settings()
        except SettingsError as error:
            LOG.error("%s", error)  # noqa: TRY400 -- the message says all
            return False
        return True

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        function = function_version.config
        if function.package_type != PackageType.Zip:
            raise ValueError("The process executor runs functions from zip files; container images need Docker.")
        runtime = function.runtime or ""
        if not runtime.startswith("python"):
            raise ValueError(f"The process executor runs Python functions; {runtime} needs Docker.")
        found = settings().python_version
        if not found.startswith(f"{runtime.removeprefix('python')}."):
            LOG.warning("%s is for %s but runs on Python %s.", function_version.qualified_arn, runtime, found)
        if any(_code(layer).is_hot_reloading() for layer in function.layers):
            raise ValueError("The process executor reloads function code, not layers: publish the layer as a zip file.")
        _code(function).prepare_for_execution()
        _opt(function_version)

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Keep everything: other versions and later runs use the same layers."""

    def start(self, env_vars: dict[str, str]) -> None:
        directory = _reaper().directory / self.id
        directory.mkdir(mode=0o700)
        (directory / "tmp").mkdir(mode=0o700)
        self._access_key_id = env_vars.get("AWS_ACCESS_KEY_ID", "")
        self._sandbox = Sandbox(self._spec(env_vars, directory), directory, _reaper())
        if env_vars.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "on-demand":
            # LocalStack drops the log of an environment that fails to start, so the first invocation reports that.
            self._sandbox.start()
            return
        try:
            self._sandbox.initialise()
        except InitError as error:
            self._last_log = str(error)
            raise StatusErrorException(str(error), payload=error.payload) from error

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        sandbox = self._running_sandbox()
        stamp = _code_stamp(self.function_version)
        if stamp != self._code_stamp:
            self._code_stamp = stamp
            sandbox.discard_process()
        event = Event(
            payload["invoke-id"], payload["invoked-function-arn"], payload["payload"].encode(), payload["trace-id"]
        )
        result = sandbox.invoke(event)
        self._last_log = result.log
        return InvocationResult(event.request_id, result.payload, result.is_error, result.log)

    def stop(self) -> None:
        if self._sandbox:
            installation.keyring.end_session(self._access_key_id)
            self._sandbox.stop()

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        # LocalStack shuffles the addresses; IPv4 first, which every client can write into a URL.
        hosts = sorted((address.host for address in config.GATEWAY_LISTEN), key=config.is_ipv6_address)
        return f"[{hosts[0]}]" if config.is_ipv6_address(hosts[0]) else hosts[0]

    def get_runtime_endpoint(self) -> str:
        return (
            f"http://{self.get_endpoint_from_executor()}:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"
        )

    def get_logs(self) -> str:
        return self._last_log

    def _running_sandbox(self) -> Sandbox:
        if self._sandbox is None:
            raise RuntimeError(f"The execution environment {self.id} was not started.")
        return self._sandbox

    def _spec(self, env_vars: dict[str, str], directory: Path) -> FunctionSpec:
        function = self.function_version.config
        options = settings()
        task_root = _code(function).get_unzipped_code_location()
        opt, tmp = _opt(self.function_version), directory / "tmp"
        packages = f"{options.python_version} {opt.name if opt else ''}"
        bytecode = _bytecode_cache().of(self.function_version.id.unqualified_arn(), packages)  # type: ignore[no-untyped-call]
        own_variables = function_environment(
            env_vars,
            runtime=function.runtime or "",
            python=options.python,
            task_root=task_root,
            opt=opt,
            tmp=tmp,
            bytecode=bytecode,
        )
        confined = confinement(
            [task_root, *([opt] if opt else [])],
            [tmp, bytecode],
            max_file_mb=function.ephemeral_storage.size,
            landlock=options.landlock,
            background=self.function_version.id.function_name in options.background,
        )
        return FunctionSpec(
            argv=command(options.python, function.handler or ""),
            env={**own_variables, **confined},
            cwd=task_root,
            timeout_s=function.timeout,
            memory_mb=function.memory_size,
            max_response_bytes=config.LAMBDA_LIMITS_MAX_FUNCTION_PAYLOAD_SIZE_BYTES,
            init_timeout_s=options.init_timeout_s,
            version=self.function_version.id.qualifier,
            python_version=options.python_version,
        )


@singleton_factory
def _reaper() -> Reaper:
    return Reaper()


@singleton_factory
def _layer_cache() -> LayerCache:
    return LayerCache(Path(config.dirs.cache) / "lambda-process-layers")


@singleton_factory
def _bytecode_cache() -> BytecodeCache:
    return BytecodeCache(Path(config.dirs.cache) / "lambda-process-bytecode")


def _code(owner: VersionFunctionConfiguration | LayerVersion) -> S3Code | HotReloadingCode:
    if owner.code is None:
        raise ValueError(f"There is no code for {owner}.")
    return owner.code


def _opt(function_version: FunctionVersion) -> Path | None:
    layers = [Layer(_code(layer).code_sha256, partial(_unpack, layer)) for layer in function_version.config.layers]
    return _layer_cache().opt(layers) if layers else None


def _unpack(layer: LayerVersion) -> Path:
    _code(layer).prepare_for_execution()
    return _code(layer).get_unzipped_code_location()


def _code_stamp(function_version: FunctionVersion) -> int:
    """Return a number that changes with the sources of a hot-reloading function; 0 for all others."""
    code = _code(function_version.config)
    if not code.is_hot_reloading():
        return 0
    return max((file.stat().st_mtime_ns for file in code.get_unzipped_code_location().rglob("*.py")), default=0)
