"""Nobody but the console's own pages can make it do or tell anything, and no name from a bucket becomes markup."""

import html
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from starlette.testclient import TestClient

from tests.conftest import FEATURES, LANDING, RAW
from tests.support.console import ADDRESS, make_stack, manifest, open_console, start

PAGES = ("/executions", "/recordings", "/models", "/models/train", "/try")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def console(store: Any) -> Iterator[TestClient]:
    make_stack()
    with open_console() as browser:
        yield browser


@pytest.fixture
def registry(store: Any) -> Any:
    """Two versions, the first the champion."""
    from p300_pipeline.registry import Registry

    from tests.conftest import MODELS

    found = Registry(store, MODELS)
    for version in ("v20260101000000", "v20260102000000"):
        found.publish(version, version, {}, manifest())
    found.promote("v20260101000000", expected=None, entry={"execution": "a", "why": "first"})
    return found


def token(page: str) -> str:
    return re.search(r'name="token" value="([0-9a-f]{64})"', page)[1]


def test_answers_to_its_own_address_and_to_no_other_name(console: TestClient) -> None:
    for host in ("127.0.0.1:4700", "localhost:4700", "[::1]:4700"):
        assert console.get("/models/train", headers={"Host": host}).status_code == 200
    for host in ("evil.example:4700", "127.0.0.1", "127.0.0.1:4701", "localhost.evil.example:4700", ""):
        for path in ("/models/train", "/static/console.css", "/nothing"):
            answer = console.get(path, headers={"Host": host})
            assert answer.status_code == 421, (host, path)
            assert "P300" not in answer.text


def test_headers_on_every_answer(console: TestClient) -> None:
    for path in (*PAGES, "/static/console.js", "/nothing", "/executions?status=<b>"):
        headers = console.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_pages_load_nothing_from_elsewhere_and_have_nothing_inline(console: TestClient) -> None:
    for path in PAGES:
        page = console.get(path)
        assert page.status_code == 200, path
        assert not re.search(r"\s(style|on\w+)=", page.text)
        assert "<style" not in page.text
        assert not re.search(r"<script(?![^>]* src=\"/static/)", page.text)
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="([^"]+)"', page.text)
        assert loaded
        assert all(address.startswith("/") and not address.startswith("//") for address in loaded)


def test_no_action_from_other_pages(console: TestClient, registry: Any) -> None:
    right = token(console.get("/models/promote", params={"version": "v20260102000000"}).text)
    elsewhere: list[dict[str, str]] = [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:4700"},  # the same console by another name is another origin
        {"Origin": "http://127.0.0.1:4701"},
        {"Origin": ADDRESS, "Sec-Fetch-Site": "cross-site"},
        {"Origin": ADDRESS, "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ]
    for headers in elsewhere:
        for path in ("/models/promote", "/models/rollback", "/models/train"):
            answer = console.post(path, data={"token": right, "version": "v20260102000000"}, headers=headers)
            assert answer.status_code == 403, (path, headers)
    assert registry.alias("champion") == "v20260101000000"


def test_no_action_without_this_browsers_token(console: TestClient, registry: Any) -> None:
    right = token(console.get("/models/promote", params={"version": "v20260102000000"}).text)
    ours = {"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"}
    for wrong in ("", "0" * 64, right[:-1], right[::-1], "é"):
        answer = console.post("/models/promote", data={"token": wrong, "version": "v20260102000000"}, headers=ours)
        assert answer.status_code == 403, wrong
    session = dict(console.cookies)
    console.cookies.clear()  # another browser with the first one's token
    console.get("/models")
    assert dict(console.cookies) != session
    answer = console.post("/models/promote", data={"token": right, "version": "v20260102000000"}, headers=ours)
    assert answer.status_code == 403
    assert registry.alias("champion") == "v20260101000000"


def test_the_consoles_own_form_acts(console: TestClient, registry: Any) -> None:
    right = token(console.get("/models/promote", params={"version": "v20260102000000"}).text)
    ours = {"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"}
    answer = console.post("/models/promote", data={"token": right, "version": "v20260102000000"}, headers=ours)
    assert answer.status_code == 303
    assert registry.alias("champion") == "v20260102000000"
    back = console.get("/models/rollback").text
    assert "v20260101000000" in back
    answer = console.post("/models/promote", data={"token": token(back), "version": "v20260101000000"}, headers=ours)
    assert answer.status_code == 303
    assert registry.alias("champion") == "v20260101000000"
    assert len(registry.history()) == 3


def test_looking_changes_nothing(console: TestClient, registry: Any) -> None:
    console.get("/models/promote", params={"version": "v20260102000000"})
    console.get("/models/rollback")
    console.get("/models/train", params={"review": "1", "subjects": "1.0"})
    assert registry.alias("champion") == "v20260101000000"
    assert len(registry.history()) == 1
    listed = boto3.client("stepfunctions").list_executions(
        stateMachineArn="arn:aws:states:us-east-1:123456789012:stateMachine:p300-pipeline"
    )
    assert listed["executions"] == []


def test_other_sites_may_link_but_not_read(console: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        assert console.get("/models", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}).status_code == 200
        for mode in ("cors", "no-cors"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
            assert console.get("/models", headers=headers).status_code == 403
            assert console.get("/try/stream", headers=headers).status_code == 403


def test_the_cookie_is_not_for_scripts(console: TestClient) -> None:
    cookie = console.get("/models").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "set-cookie" not in console.get("/models").headers


def test_names_from_buckets_are_text(console: TestClient, store: Any) -> None:
    name = f"subject_01/{EVIL}"
    store.put(RAW, f"quarantine/abcdefabcdef/{name}.csv", b"x")
    reason = f'{{"code": "{html.escape(EVIL)}", "message": "bad"}}'.replace("&lt;", "<").replace("&gt;", ">")
    store.put(RAW, f"quarantine/abcdefabcdef/{name}.csv.reason.json", reason.encode())
    store.put(RAW, f"{name}.parquet", b"x")
    store.put(FEATURES, f"{name}/features.parquet", b"x")
    arn = start(f"{name}.parquet")
    pages = [
        console.get("/recordings"),
        console.get("/recordings", params={"subject": EVIL, "stage": EVIL}),
        console.get("/recording", params={"name": name}),
        console.get("/recording", params={"name": f"{name}.csv"}),
        console.get("/recording", params={"name": EVIL}),
        console.get("/executions"),
        console.get("/executions", params={"subject": EVIL, "status": EVIL, "machine": EVIL, "page": EVIL}),
        console.get("/execution", params={"arn": arn}),
        console.get("/execution", params={"arn": EVIL}),
        console.get("/model", params={"version": EVIL}),
        console.get("/models/promote", params={"version": EVIL}),
        console.get("/models/train", params={"review": "1", "subjects": EVIL, "model": EVIL, "seed": EVIL}),
        console.get("/try"),
        console.get("/try", params={"recording": EVIL, "layout": EVIL, "alias": EVIL, "trial": EVIL, "pace": EVIL}),
    ]
    seen = 0
    for page in pages:
        assert "<script>alert" not in page.text, page.url
        assert "<img src=x" not in page.text, page.url
        assert page.status_code != 500, page.text
        seen += "&lt;script&gt;alert" in page.text
    assert seen >= 10


def test_names_neither_reorder_a_page_nor_hide_in_it(console: TestClient, store: Any) -> None:
    name = "subject_01/run\u202egnp\u200b"
    store.put(LANDING, f"{name}.parquet", b"x")
    store.put(LANDING, "subject_01/.DS_Store", b"x")
    store.put(RAW, f"quarantine/abcdefabcdef/{name}.csv", b"x")
    arn = start(f"{name}.parquet")
    for path, query in (
        ("/recordings", {}),
        ("/recording", {"name": name}),
        ("/recording", {"name": f"{name}.csv"}),
        ("/executions", {}),
        ("/execution", {"arn": arn}),
    ):
        page = console.get(path, params=query)
        assert page.status_code == 200
        assert not {"\u202e", "\u200b"} & set(page.text), path
        assert "run\\u202egnp\\u200b" in page.text, path
        assert ".DS_Store" not in page.text


def test_a_report_may_do_nothing(console: TestClient, store: Any) -> None:
    store.put(FEATURES, "subject_01/run/report.html", b"<script>alert(1)</script>")
    store.put(FEATURES, "subject_01/run/erp.png", b"<script>alert(1)</script>")
    report = console.get("/recording/report.html", params={"name": "subject_01/run"})
    policy = report.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox;")
    assert "script" not in policy
    picture = console.get("/recording/erp.png", params={"name": "subject_01/run"})
    assert picture.headers["Content-Type"] == "image/png"
    assert picture.headers["X-Content-Type-Options"] == "nosniff"


def test_no_object_but_the_two_files_beside_features_is_given_out(console: TestClient, store: Any) -> None:
    store.put(FEATURES, "subject_01/run/features.parquet", b"x")
    for path in (
        "/recording/features.parquet",
        "/recording/erp.png?name=../x",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
    ):
        assert console.get(path).status_code == 404, path
