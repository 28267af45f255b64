"""A LocalStack that the plugin was not written for does not start, and says which part is different."""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from localstack import constants
from localstack.aws import handlers
from localstack.runtime.exceptions import LocalstackExit
from localstack.runtime.server.twisted import TwistedRuntimeServer
from localstack.services.cloudformation.engine.v2.change_set_model_executor import ChangeSetModelExecutor
from localstack.services.cloudformation.engine.v2.change_set_model_transform import ChangeSetModelTransform
from localstack.services.lambda_.invocation import event_manager
from localstack.services.lambda_.invocation.assignment import AssignmentService
from localstack.services.s3 import provider
from localstack.services.stepfunctions.asl.component.common.path import result_path
from localstack.services.stepfunctions.asl.utils import json_path
from localstack.services.stepfunctions.backend.execution_worker import ExecutionWorker
from moto.sts.models import AssumedRole

import localstack_process_executor
from localstack_process_executor import repairs, startup
from localstack_process_executor.gateway import installation
from localstack_process_executor.settings import settings

REPLACED = [
    (TwistedRuntimeServer, "register"),
    (constants, "INTERNAL_AWS_SECRET_ACCESS_KEY"),
    (handlers, "serve_edge_router_rules"),
    (AssumedRole, "__init__"),
    (ChangeSetModelExecutor, "execute"),
    (json_path, "parse"),
    (result_path, "parse"),
    (ExecutionWorker, "_get_evaluation_entrypoint"),
    (handlers, "serve_custom_service_request_handlers"),
    (ChangeSetModelTransform, "_execute_local_transforms"),
    (provider, "DEFAULT_S3_TMP_DIR"),
    (ExecutionWorker, "_execution_logic"),
    (event_manager, "ThreadPoolExecutor"),
    (AssignmentService, "get_environment"),
]
LOSABLE = [entry for entry in REPLACED if entry not in [(TwistedRuntimeServer, "register"), (AssumedRole, "__init__")]]
"""Without the other two, which a class that lacks them inherits."""
FUNCTIONS = [(owner, name) for owner, name in REPLACED if isinstance(owner, type)]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, credential: Path, runtime_python: Path) -> Any:
    """Run what LocalStack runs when it starts, and restore everything afterwards."""
    monkeypatch.setenv("LAMBDA_PROCESS_PYTHON", str(runtime_python))
    monkeypatch.setenv("GATEWAY_GUARD_CREDENTIAL", str(credential))
    monkeypatch.setenv("LAMBDA_PROCESS_MAX_ENVIRONMENTS", "4")
    chain = [handlers.serve_edge_router_rules]
    runtime = SimpleNamespace(components=SimpleNamespace(gateway=SimpleNamespace(request_handlers=chain)))
    monkeypatch.setattr(installation, "get_current_runtime", lambda: runtime)
    for owner, name in REPLACED:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(handlers.serve_custom_service_request_handlers, "handlers", [])
    published = constants.INTERNAL_AWS_SECRET_ACCESS_KEY
    for module in list(sys.modules.values()):
        if getattr(module, "INTERNAL_AWS_SECRET_ACCESS_KEY", None) == published:
            monkeypatch.setattr(module, "INTERNAL_AWS_SECRET_ACCESS_KEY", published)
    settings.cache_clear()
    yield startup.install_hooks
    settings.cache_clear()


def test_every_replacement_fits_the_installed_localstack(start: Any) -> None:
    start()


@pytest.mark.parametrize("version", ["4.13.2", "4.15.0", "5.0", "41.4"])
def test_refuses_another_release(start: Any, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "VERSION", version)
    with pytest.raises(
        LocalstackExit, match=f"written for LocalStack 4.14 and cannot change this LocalStack {version}"
    ):
        start()


@pytest.mark.parametrize(("owner", "name"), LOSABLE)
def test_refuses_a_localstack_without_a_part_that_is_replaced(
    start: Any, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(owner, name)
    with pytest.raises(LocalstackExit, match=rf"{owner.__name__} has no attribute {name}. Install .*<4\.15") as exit_:
        start()
    assert exit_.value.code == 1


@pytest.mark.parametrize(("owner", "name"), FUNCTIONS)
def test_refuses_a_localstack_whose_functions_take_other_parameters(
    start: Any, owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, lambda self, something_new: None)
    with pytest.raises(LocalstackExit, match=rf"{owner.__name__}\.{name} takes self, something_new; expected self"):
        start()


def test_refuses_a_localstack_that_moved_a_module(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "localstack.services.s3", None)
    monkeypatch.delitem(sys.modules, "localstack_process_executor.storage_folder", raising=False)
    monkeypatch.delattr(localstack_process_executor, "storage_folder", raising=False)
    with pytest.raises(LocalstackExit, match=r"cannot change this LocalStack .*localstack\.services\.s3"):
        start()


def replaces_what_localstack_has(node: ast.AST, imported: set[str]) -> bool:
    """Whether a statement assigns to an attribute of something that was imported from LocalStack."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    owners = [target.value for target in targets if isinstance(target, ast.Attribute)]
    return any(isinstance(owner, ast.Name) and owner.id in imported for owner in owners)


def test_every_replacement_is_checked() -> None:
    """A plain assignment would go unnoticed where LocalStack has another name for it."""
    wrong = []
    for path in Path(localstack_process_executor.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
        imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
        imports = [node for node in imports if str(node.module).startswith(("localstack.", "moto."))]
        imported = {alias.asname or alias.name for node in imports for alias in node.names}
        wrong += [path.name for node in nodes if replaces_what_localstack_has(node, imported)]
    assert wrong == []


def test_a_replacement_gets_the_original() -> None:
    owner = SimpleNamespace(name=1)
    repairs.replace(owner, "name", lambda usual: usual + 1)
    assert owner.name == 2
