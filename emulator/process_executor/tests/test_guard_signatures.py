"""The guard and signatures: every signature that botocore makes is accepted, unless the request was changed later."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4QueryAuth, SigV4QueryAuth
from guard_requests import API, MARK, OWNER, Sent, many, paths, presign, requests, show, sign
from hypothesis import given
from hypothesis import strategies as st

from localstack_process_executor.gateway import guard, signature
from localstack_process_executor.gateway.keyring import Credential, Keyring

SCOPE = "Credential=P300OWNERSKEY/20260101/us-east-1/s3/aws4_request"


# ---- what is signed
@many
@given(requests, st.sampled_from(["s3", "sqs", "lambda", "states"]), st.sampled_from(["", "a  b", "{}", "\xe4"]))
def test_any_request_that_a_client_signs_is_admitted(sent: Sent, service: str, value: str) -> None:
    extra = {"X-Amz-Meta-Note": value} if value else {}
    seen = show(sign(sent, service=service, headers=extra))
    assert seen.admitted, seen.message


@many
@given(requests, st.sampled_from(["s3", "sqs"]), st.data())
def test_any_change_after_signing_is_refused(sent: Sent, service: str, data: st.DataObject) -> None:
    signed = sign(sent, service=service)
    where = data.draw(st.sampled_from(["method", "path", "query", "body", "header", "added"]))
    if where == "method":
        changed = replace(signed, method=data.draw(st.sampled_from(["GET", "PUT", "POST", "DELETE"])))
    elif where == "path":
        path, question, query = signed.target.partition("?")
        longer = path + data.draw(st.sampled_from(["x", "/", "/..", "%2F", "."]))
        changed = replace(signed, target=f"{longer}{question}{query}")
    elif where == "query":
        joined = "&" if "?" in signed.target else "?"
        changed = replace(signed, target=f"{signed.target}{joined}Action=CreateFunction")
    elif where == "body":
        changed = replace(signed, body=data.draw(st.binary(max_size=200)))
    elif where == "header":
        name, value = data.draw(st.sampled_from([item for item in signed.headers if item[0] != "User-Agent"]))
        changed = signed.having(**{name.replace("-", "_"): data.draw(st.sampled_from([value + "x", "x" + value, ""]))})
    else:
        changed = signed.having(X_Amz_Target="AWSStepFunctions.CreateStateMachine")
    if changed == signed or (service != "s3" and where == "path" and same_path(changed, signed)):
        return
    assert not show(changed).admitted


def same_path(one: Sent, other: Sent) -> bool:
    """Return whether two paths are the same for services other than S3, which drop dots and doubled slashes."""
    from botocore.utils import normalize_url_path

    return bool(normalize_url_path(one.target.partition("?")[0]) == normalize_url_path(other.target.partition("?")[0]))


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (Credential("test", "test"), "UnrecognizedClientException"),
        (Credential("000000000000", "__internal_call__"), "UnrecognizedClientException"),
        (Credential("__internal_call__", "__internal_call__"), "UnrecognizedClientException"),
        (Credential(OWNER.access_key_id, "guessed"), "InvalidSignatureException"),
        (Credential("", OWNER.secret_access_key), "InvalidSignatureException"),
    ],
)
def test_other_keys_are_refused_and_the_answer_says_what_to_do(key: Credential, code: str) -> None:
    seen = show(sign(Sent("POST", "/"), key, headers={"X-Amz-Target": "AmazonSQS.ListQueues"}))
    assert not seen.admitted
    assert seen.response.status_code == 403
    assert seen.response.headers["x-amzn-ErrorType"] == code
    assert json.loads(seen.message)["message"].endswith("Do this first.")


@pytest.mark.parametrize("minutes", [-16, 16, -60 * 24 * 400, 60 * 24 * 400])
def test_old_and_future_signatures_are_refused(minutes: int) -> None:
    seen = show(sign(Sent(), when=datetime.now(UTC) + timedelta(minutes=minutes)))
    assert not seen.admitted
    assert "this machine's clock" in seen.message
    assert "Do this first" not in seen.message  # another key would not help


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_may_be_off_by_some_minutes(minutes: int) -> None:
    assert show(sign(Sent(), when=datetime.now(UTC) + timedelta(minutes=minutes))).admitted


def test_sessions_are_accepted_until_they_are_closed() -> None:
    """Sessions do not expire: LocalStack's services keep the clients of roles that they assumed when they started."""
    keyring = Keyring(OWNER)
    key = Credential("LSIAQAAAAAAAEXAMPLE0", keyring.session_secret("LSIAQAAAAAAAEXAMPLE0"))
    sent = sign(Sent(), key)
    assert show(sent, keyring).admitted
    assert not show(sent, Keyring(OWNER)).admitted  # from another LocalStack
    assert not show(sign(Sent(), replace(key, access_key_id="LSIAQAAAAAAAEXAMPLE1")), keyring).admitted
    keyring.end_session(key.access_key_id)
    assert not show(sent, keyring).admitted


@pytest.mark.parametrize(
    "body_hash", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"]
)
def test_a_client_may_leave_the_body_out_of_its_signature(body_hash: str) -> None:
    signed = sign(Sent("PUT", "/b/k", body=b"one"), service="sqs", headers={"X-Amz-Content-SHA256": body_hash})
    assert show(replace(signed, body=b"two")).admitted


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic dGVzdDp0ZXN0",
        "AWS P300OWNERSKEY:c2lnbmF0dXJl",
        "AWS4-HMAC-SHA256",
        f"AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders=, Signature=",
        f"AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders=host, Signature={'0' * 64}",
        f"AWS4-ECDSA-P256-SHA256 {SCOPE}, SignedHeaders=host, Signature={'0' * 64}",
    ],
)
def test_malformed_signatures_are_refused(authorization: str) -> None:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for date in (now, "20260101T000000Z", "yesterday", ""):
        assert not show(Sent().having(Authorization=authorization, X_Amz_Date=date)).admitted


def test_two_signatures_at_once_are_refused() -> None:
    signed = sign(Sent("GET", "/bucket/key"), service="s3")
    assert not show(replace(signed, headers=(*signed.headers, ("Authorization", "Basic x")))).admitted
    both = presign(Sent("GET", "/bucket/key"))
    assert not show(replace(both, headers=signed.headers)).admitted


# ---- presigned
@many
@given(st.sampled_from(["GET", "PUT", "HEAD", "DELETE"]), paths, st.sampled_from([S3SigV4QueryAuth, HmacV1QueryAuth]))
def test_presigned_s3_urls_are_admitted_for_s3_only(method: str, path: str, signer: type) -> None:
    sent = presign(Sent(method, f"/bucket{path}", body=b"anything"), signer)
    seen = show(sent)
    assert seen.admitted, seen.message
    assert seen.context.service is not None
    assert seen.context.service.service_name == "s3"
    for changed in (
        replace(sent, method="POST"),
        replace(sent, target=sent.target.replace("/bucket", "/other", 1)),
        replace(sent, target=sent.target + "&delete"),
        replace(sent, target=sent.target + "&Action=CreateFunction"),
        sent.having(X_Amz_Target="AWSStepFunctions.CreateStateMachine"),
        sent.having(X_Amz_Copy_Source="/secret/key"),
        sent.having(Host="function.lambda-url.us-east-1.localhost.localstack.cloud:4566"),
    ):
        assert not show(changed).admitted, changed


@pytest.mark.parametrize("signer", [S3SigV4QueryAuth, HmacV1QueryAuth])
def test_presigned_urls_expire(signer: type) -> None:
    seen = show(presign(Sent("GET", "/bucket/key"), signer, expires=-1))
    assert not seen.admitted
    assert "expired" in seen.message or "version 4" in seen.message


def test_presigned_urls_of_other_services_and_of_localstack_are_refused() -> None:
    assert not show(presign(Sent("GET", "/?Action=GetCallerIdentity"), SigV4QueryAuth, service="sts")).admitted
    assert not show(presign(Sent("GET", "/_localstack/info"))).admitted
    assert not show(presign(Sent("POST", "/_aws/sns/platform"))).admitted


# ---- LocalStack's own calls
def test_only_localstack_itself_can_sign_internal_calls() -> None:
    keyring = Keyring(OWNER)
    internal = Credential("000000000000", keyring.internal_secret)
    mark = '{"service_principal":"lambda","source_arn":null}'
    for is_open in (False, True):
        seen = show(sign(Sent(), internal, headers={MARK: mark}), keyring, is_open=is_open)
        assert seen.admitted
        assert seen.context.request.headers.get(MARK) == mark
        for sent in (
            sign(Sent(), OWNER, headers={MARK: mark}),
            sign(Sent(), OWNER).having(**{MARK.replace("-", "_"): mark}),
            Sent("POST", API).having(**{MARK.replace("-", "_"): mark}),
            presign(Sent("GET", "/bucket/key")).having(**{MARK.replace("-", "_"): mark}),
        ):
            assert MARK not in show(sent, keyring, is_open=is_open).context.request.headers


# ---- the request line, and what goes wrong
@pytest.mark.parametrize(
    "target", ["", "*", "http://localhost/_localstack/health", "/b ucket", "/b#fragment", "/b\tk", "/bück", "/b\x00"]
)
def test_a_target_that_is_not_a_plain_path_is_refused(target: str) -> None:
    assert not show(replace(sign(Sent("GET", "/x")), target=target), is_open=True).admitted


def test_a_guard_that_fails_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(guard, "verify_header", fail)
    seen = show(sign(Sent()))
    assert (seen.admitted, seen.response.status_code) == (False, 403)
    monkeypatch.setattr(signature, "MAX_SKEW_S", "x")
    assert not show(sign(Sent())).admitted
