"""The guard and unsigned requests: what is admitted, what a web page can send, and the format of refusals."""

import json
from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree

import cbor2
import pytest
from botocore.auth import HmacV1QueryAuth
from guard_requests import API, HOST, MARK, OWNER, Seen, Sent, many, presign, requests, show, sign
from hypothesis import given
from hypothesis import strategies as st
from localstack.aws.chain import HandlerChain

from localstack_process_executor.gateway.guard import Guard
from localstack_process_executor.gateway.keyring import Credential, Keyring


# ---- what needs no signature
def test_health_is_the_only_path_of_localstack_that_needs_no_signature() -> None:
    assert show(Sent("GET", "/_localstack/health")).admitted
    assert show(Sent("HEAD", "/_localstack/health")).admitted
    for sent in (
        Sent("POST", "/_localstack/health", body=b'{"action": "kill"}'),
        Sent("GET", "/_localstack/health?reload"),
        Sent("GET", "/_localstack/health/"),
        Sent("GET", "//_localstack/health"),
        Sent("GET", "/_localstack/health%2F..%2Finfo"),
        *(Sent("GET", f"/_localstack/{name}") for name in ("info", "plugins", "init", "config", "diagnose", "usage")),
    ):
        assert not show(sent).admitted, sent


def test_requests_to_an_api_need_no_signature() -> None:
    assert show(Sent("POST", API, body=b"{}")).admitted
    for sent in (
        Sent("POST", API, (("Host", "abc123.execute-api.localhost.localstack.cloud:4566"),)),
        Sent("GET", "/v1/predict", (("Host", "abc123.execute-api.localhost:4566"),)),
        Sent("GET", API, (("Host", "url-id.lambda-url.us-east-1.localhost:4566"),)),
        Sent("GET", "/restapis/abc123/v1/_user_request_/predict"),
        Sent("GET", "/_aws/execute-api"),
        Sent("GET", "/%5Faws/execute-api/abc123/v1/predict"),
        Sent("GET", "/x/..%2F_aws/execute-api/abc123/v1/predict"),
    ):
        assert not show(sent).admitted, sent


def test_a_request_that_no_api_handled_goes_no_further() -> None:
    seen = show(Sent("GET", f"{API}?Action=ListUsers&Version=2010-05-08"))
    assert seen.admitted
    chain = HandlerChain()
    chain.handle(seen.context, seen.response)
    Guard(Keyring(OWNER)).stop_unserved_api_request(chain, seen.context, seen.response)
    assert (chain.terminated, seen.response.status_code) == (True, 404)
    other = show(sign(Sent()))
    Guard(Keyring(OWNER)).stop_unserved_api_request(chain := HandlerChain(), other.context, other.response)
    assert not chain.terminated


@many
@given(
    requests,
    st.dictionaries(
        st.sampled_from(["X-Amz-Target", "Content-Type", "X-Amz-Date", MARK, "Authorization"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
        max_size=3,
    ),
)
def test_nothing_else_passes_unsigned(sent: Sent, headers: Mapping[str, str]) -> None:
    seen = show(sent.having(**{name.replace("-", "_"): value for name, value in headers.items()}))
    assert not seen.admitted
    assert seen.response.status_code == 403
    assert not [name for name in seen.response.headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118


# ---- pages
FOREIGN_HOSTS = (
    "evil.example", "evil.example:4566", "localhost.evil.example", "evil-localhost", "127.0.0.1.evil.example",
    "localhost.", "localhost@evil.example", "localhost:4566:1", "localhost localhost", "evil.localstack.cloud", "",
    "0.0.0.0:4566", "192.168.1.2:4566", "[::]:4566", "[2001:db8::1]", "2130706433", "0x7f.1",
)  # fmt: skip


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize(
    "sent", [Sent("GET", "/_localstack/health"), Sent("POST", API), sign(Sent()), presign(Sent("GET", "/b/k"))]
)
def test_other_names_for_this_machine_are_refused(sent: Sent, host: str) -> None:
    for is_open in (False, True):
        assert not show(sent.having(Host=host), is_open=is_open).admitted


def test_a_request_without_a_host_or_with_two_is_refused() -> None:
    assert not show(Sent("GET", "/_localstack/health", ())).admitted
    assert not show(Sent("GET", "/_localstack/health", (("Host", HOST), ("Host", HOST)))).admitted


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:4566", "127.0.0.1:4566", "127.1.2.3", "[::1]:4566", "localhost.localstack.cloud:4566"],
)
def test_this_machines_own_names_are_accepted(host: str) -> None:
    assert show(Sent("GET", "/_localstack/health").having(Host=host)).admitted
    assert show(Sent("POST", API).having(Host=host)).admitted


CROSS_SITE: tuple[dict[str, str], ...] = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "https://localhost:4566@evil.example"},
    {"Origin": "http://[", "Sec_Fetch_Site": "same-origin"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "something-new"},
    {"Referer": "https://evil.example/page"},
    {"Origin": f"http://{HOST}", "Sec_Fetch_Site": "cross-site"},
)


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_pages_from_other_sites_are_refused_even_with_a_signature(headers: dict[str, str]) -> None:
    for sent in (
        Sent("GET", "/_localstack/health"),
        Sent("OPTIONS", "/bucket/key"),
        Sent("GET", "/?Action=CreateFunction"),
        sign(Sent("POST", "/")),
        presign(Sent("GET", "/bucket/key")),
        presign(Sent("PUT", "/bucket/key"), HmacV1QueryAuth),
        Sent("POST", API, body=b"{}"),
    ):
        for is_open in (False, True):
            seen = show(sent.having(**headers), is_open=is_open)
            assert not seen.admitted
            assert "another site" in seen.message or sent.method == "HEAD"


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_a_page_with_an_api_key_may_call_an_api(headers: dict[str, str]) -> None:
    assert show(
        Sent("OPTIONS", API).having(**headers)
    ).admitted  # the preflight request with which a browser asks before it sends such a header
    assert show(Sent("POST", API).having(X_Api_Key="k", **headers)).admitted


@pytest.mark.parametrize(
    "headers", [{"Sec_Fetch_Site": "none"}, {"Sec_Fetch_Site": "same-origin", "Origin": f"http://{HOST}"}]
)
def test_typed_addresses_and_own_pages_do_not_count_as_another_site(headers: dict[str, str]) -> None:
    assert show(Sent("GET", "/_localstack/health").having(**headers)).admitted
    assert show(presign(Sent("GET", "/bucket/key")).having(**headers)).admitted
    assert not show(Sent("GET", "/bucket/key").having(**headers)).admitted


def test_websockets_are_refused() -> None:
    for sent in (sign(Sent()), Sent("GET", API)):
        assert not show(sent.having(Upgrade="websocket", Connection="Upgrade")).admitted
        assert not show(replace(sent, method="WEBSOCKET")).admitted
    assert show(sign(Sent()).having(Upgrade="h2c")).admitted


# ---- open
def test_open_accepts_any_key_but_requires_one() -> None:
    assert show(sign(Sent(), Credential("test", "test")), is_open=True).admitted
    assert show(presign(Sent("GET", "/bucket/key")), Keyring(None), is_open=True).admitted
    for sent in (Sent("GET", "/b/k"), Sent("GET", "/?Action=CreateFunction"), Sent("POST", "/b", body=b"form")):
        assert not show(sent, is_open=True).admitted


# ---- in the format of each service
def parse(seen: Seen) -> ElementTree.Element:
    return ElementTree.fromstring(seen.message)  # noqa: S314


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (Sent("GET", "/bucket/key"), "AccessDenied"),
        (sign(Sent("GET", "/bucket/key"), Credential("test", "test"), service="s3"), "InvalidAccessKeyId"),
        (sign(Sent("GET", "/bucket/key"), Credential(OWNER.access_key_id, "x"), service="s3"), "SignatureDoesNotMatch"),
    ],
)
def test_s3_refuses_in_xml(sent: Sent, code: str) -> None:
    error = parse(show(sent))
    assert (error.tag, error.findtext("Code")) == ("Error", code)
    assert error.findtext("Message", "").endswith("Do this first.")


def test_the_query_protocol_refuses_in_xml() -> None:
    for sent in (
        Sent("GET", "/?Action=ListUsers&Version=2010-05-08"),
        Sent("POST", "/").having(Content_Type="application/x-www-form-urlencoded"),
    ):
        error = parse(show(sent))
        assert (error.tag, error.findtext("Error/Code")) == ("ErrorResponse", "MissingAuthenticationToken")


def test_json_services_refuse_in_json() -> None:
    for sent in (
        Sent("POST", "/").having(X_Amz_Target="AWSStepFunctions.ListStateMachines"),
        Sent("GET", "/2015-03-31/functions"),
        Sent("GET", "/_localstack/info"),
    ):
        seen = show(sent)
        assert json.loads(seen.message)["__type"] == "MissingAuthenticationTokenException"


def test_cbor_services_refuse_in_cbor() -> None:
    seen = show(Sent("POST", "/service/X/operation/Y").having(Smithy_Protocol="rpc-v2-cbor"))
    assert cbor2.loads(seen.response.data)["__type"] == "MissingAuthenticationTokenException"


def test_the_answer_contains_no_markup_from_the_request() -> None:
    sent = sign(Sent("GET", "/b/k"), Credential("<b>x</b>&", "test"), service="s3")
    parse(show(sent))
    assert show(Sent("HEAD", "/bucket")).response.data == b""
