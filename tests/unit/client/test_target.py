"""Which AWS a command talks to, as the environment says it."""

import os
import socket
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.errors import P300Error
from p300_client import target


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower() == "no_proxy"]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("endpoint", ["http://localhost:4566", "http://[::1]:4566/", " https://10.0.0.7 "])
def test_an_address_is_taken(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert target.choose().endpoint == endpoint.strip().rstrip("/")


@given(
    st.sampled_from(
        ["localhost:4566", "http://", "http://h:99999", "http://h:0", "ftp://h:1", "http://[::1:4", "http://h/x"]
    )
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
        lambda text: "://" not in text and text.strip(" /\t\n")
    )
)
def test_what_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        try:
            chosen = target.choose()
        except P300Error as error:
            assert error.code == "bad_endpoint"
        else:
            assert chosen.endpoint is None or not endpoint.strip().rstrip("/")


def test_each_target_keeps_to_its_own_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that talked to LocalStack may talk to AWS, or to another LocalStack, next."""
    monkeypatch.setenv("P300_OPEN", "1")
    here, there = target.Target("http://localhost:4566"), target.Target("http://[::1]:4567")
    for one in (here, there, here):
        assert one._make("s3").meta.endpoint_url == one.endpoint
    assert "AWS_ENDPOINT_URL" not in os.environ
    assert target.Target(None).client("s3").meta.endpoint_url == "https://s3.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4600")
    assert here._make("sqs").meta.endpoint_url == here.endpoint


def test_the_port_is_the_one_that_clients_use() -> None:
    ports = {"http://localhost": 80, "https://localhost": 443, "http://localhost:4712": 4712}
    assert {endpoint: target.Target(endpoint).port for endpoint in ports} == ports


@pytest.mark.parametrize(("name", "value"), [("AWS_REGION", "eu-central-1"), ("AWS_DEFAULT_REGION", "us-gov-west-1")])
def test_a_region_is_taken_from_the_environment(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert target.Target("http://localhost:4566").region == value


@pytest.mark.parametrize("region", ["Frankfurt", "eu_central_1", "eu-central-1 ", "eu-central"])
def test_what_is_no_region_is_refused(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    with pytest.raises(P300Error, match="is not a region"):
        _ = target.Target("http://localhost:4566").region


def test_a_profile_brings_its_region_on_aws_only(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path_factory.mktemp("aws") / "config"
    config.write_text("[profile lab]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert target.Target(None).region == "eu-west-3"
    assert target.Target("http://localhost:4566").region == "us-east-1"


@pytest.mark.parametrize(
    "given", [{}, {"NO_PROXY": "intra.example"}, {"no_proxy": "a.example", "NO_PROXY": "b.example"}]
)
def test_no_proxy_is_asked_for_this_machine(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for endpoint in ("http://localhost:4566", "http://127.0.0.1:4566", "http://[::1]:4566"):
        target.Target(endpoint)
        assert urllib.request.proxy_bypass(endpoint.removeprefix("http://"))
    assert not urllib.request.proxy_bypass("10.0.0.7:4566")
    for value in given.values():
        assert urllib.request.proxy_bypass(value) or "no_proxy" in given


def test_a_proxy_for_nothing_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    target.Target("http://localhost:4566")
    assert os.environ["NO_PROXY"] == "*"


@pytest.fixture
def profiles(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path_factory.mktemp("aws") / "config"
    config.write_text("[profile lab]\nregion = eu-west-3\n[profile local]\nendpoint_url = http://localhost:4599/\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))


@pytest.mark.usefixtures("profiles")
def test_a_profile_that_contradicts_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    for profile, leads_to in (("lab", "AWS"), ("local", "http://localhost:4599")):
        monkeypatch.setenv("AWS_PROFILE", profile)
        with pytest.raises(P300Error, match=f"points to {leads_to}") as refused:
            target.choose()
        assert refused.value.code == "two_targets"
        assert "p300 env --unset" in refused.value.message
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4599")
    assert target.choose().endpoint == "http://localhost:4599"


@pytest.mark.usefixtures("profiles")
def test_a_profile_leads_where_boto3_would_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert target.choose().endpoint is None
    monkeypatch.setenv("AWS_PROFILE", "local")
    assert target.choose().endpoint == "http://localhost:4599"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert target.choose().endpoint is None


def test_what_was_exported_is_named_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("P300_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody's own")
    monkeypatch.setenv("P300_STATE_DIR", "/somewhere")
    assert target.exported() == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    monkeypatch.setenv("P300_API_KEY", "k")
    assert target.exported() == ["AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "P300_API_KEY"]


def test_what_env_exports_is_what_it_takes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = {
        "StateMachineArn": "arn",
        **{f"{zone}BucketName": zone for zone in ("Landing", "Raw", "Features", "Models")},
    }
    stack = target.Target("http://localhost:4566")
    stack.__dict__ |= {"outputs": outputs, "api_url": "http://api", "api_key": "k"}
    for name, value in (printed := stack.environment()).items():
        monkeypatch.setenv(name, value)
    assert set(target.exported()) >= printed.keys() - {"NO_PROXY", "no_proxy"}


def test_a_server_that_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "SILENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = target.Target(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(target.NoStackError, match="accepts connections, but did not answer") as refused:
            _ = there.outputs
    assert refused.value.code == "no_answer"


def test_a_setting_of_aws_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "abc")
    with pytest.raises(P300Error, match=r"'abc'.*AWS_") as refused:
        target.Target(None).client("s3")
    assert refused.value.code == "bad_aws_setting"


@pytest.mark.parametrize(("stack_in", "advice"), [("us-east-1", "set AWS_REGION=us-east-1"), (None, "p300 deploy")])
def test_a_stack_of_another_region_is_named(stack_in: str | None, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment to this region would be refused."""
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with mock_aws():
        if stack_in:
            boto3.client("s3", region_name=stack_in).create_bucket(Bucket=target.DEPLOYMENT_BUCKET)
        chosen = target.Target("http://localhost:4566")
        monkeypatch.setattr(chosen, "client", lambda service: boto3.client(service, region_name="eu-central-1"))
        with pytest.raises(P300Error) as raised:
            _ = chosen.outputs
    assert raised.value.code == "no_stack"
    assert advice in raised.value.message
