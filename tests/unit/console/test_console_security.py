"""Nobody but the console's own pages can make it do or tell anything, and no name from a bucket becomes markup."""

import html
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p300.reporting.assets import SCRIPT, source_of
from p300_console import app
from p300_console.security import Tokens
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.support.buckets import FEATURES, LANDING, RAW
from tests.support.console import ADDRESS, closed_console, make_stack, manifest, open_console, start

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

    from tests.support.buckets import MODELS

    found = Registry(store, MODELS)
    for version in ("v20260101000000", "v20260102000000"):
        found.publish(version, version, {"model.npz": (b"model", "application/octet-stream")}, manifest())
    found.promote("v20260101000000", expected=None, entry={"execution": "a", "why": "first"})
    return found


def token(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', page)
    assert found
    return found[1]


def test_a_model_at_chance_is_promoted_only_from_the_page_that_says_so(console: TestClient, registry: Any) -> None:
    at_chance = manifest()
    at_chance["metrics"] = at_chance["metrics"] | {"chance": {"at_chance": True, "p_value": 0.342}}
    version = "v20260103000000"
    registry.publish(version, version, {"model.npz": (b"model", "application/octet-stream")}, at_chance)
    assert "at chance (p = 0.34)" in console.get("/models").text
    page = console.get("/models/promote", params={"version": version}).text
    assert f"{version} is at chance (p = 0.34)" in page
    ours = {"Origin": str(console.base_url)}
    form = {"token": token(page), "version": version}
    assert "--force" in console.post("/models/promote", data=form, headers=ours).text
    assert registry.alias("champion") == "v20260101000000"
    assert 'name="force" value="1"' in page
    console.post("/models/promote", data=form | {"force": "1"}, headers=ours, follow_redirects=False)
    assert registry.alias("champion") == version
    assert registry.history()[-1]["why"] == "promoted by hand, though it is at chance (p = 0.34)"


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
    tokens = console.app.state.console.tokens  # type: ignore[attr-defined]
    console.cookies.clear()  # another browser with the first one's token
    console.get("/", params={"token": tokens.one_time})
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
        *(console.get("/recordings", params={name: EVIL}) for name in ("subject", "stage")),
        console.get("/recording", params={"name": name}),
        console.get("/recording", params={"name": f"{name}.csv"}),
        console.get("/recording", params={"name": EVIL}),
        console.get("/executions"),
        *(console.get("/executions", params={name: EVIL}) for name in ("subject", "status", "machine", "page", EVIL)),
        console.get("/execution", params={"arn": arn}),
        console.get("/execution", params={"arn": EVIL}),
        console.get("/model", params={"version": EVIL}),
        console.get("/models/promote", params={"version": EVIL}),
        console.get("/models/train", params={"review": "1", "subjects": EVIL, "model": EVIL, "seed": EVIL}),
        console.get("/try"),
        *(console.get("/try", params={name: EVIL}) for name in ("recording", "layout", "alias", "trial", "pace")),
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


def test_a_report_runs_the_script_of_reports_and_no_other(console: TestClient, store: Any) -> None:
    store.put(FEATURES, "subject_01/run/report.html", b"<script>alert(1)</script>")
    store.put(FEATURES, "subject_01/run/erp.png", b"<script>alert(1)</script>")
    report = console.get("/recording/report.html", params={"name": "subject_01/run"})
    policy = report.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert [part for part in policy.split("; ") if "script" in part][1:] == [f"script-src {source_of(SCRIPT)}"]
    assert not re.search("unsafe|allow-same-origin|http|self", policy)
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


# ---- who may come in
ROUTES = [route.path for route in app.ROUTES if isinstance(route, Route)]
ENTERED = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture
def closed(store: Any) -> Iterator[tuple[TestClient, Tokens]]:
    make_stack()
    with closed_console() as found:
        yield found


@pytest.mark.parametrize("path", [*ROUTES, "/static/console.css", "/nothing", "//", "/executions/", "/./models"])
def test_no_route_without_a_session(closed: tuple[TestClient, Tokens], path: str) -> None:
    browser, tokens = closed
    one_time = tokens.one_time
    for cookie in (None, "", "0", tokens.one_time, "x" * 43):
        browser.cookies.clear()
        if cookie is not None:
            browser.cookies.set(tokens.cookie, cookie)
        for method in ("GET", "HEAD"):
            answer = browser.request(method, path, params={"token": "wrong"} if path == "/" else None, headers=ENTERED)
            assert answer.status_code == 403, (method, cookie)
            assert "set-cookie" not in answer.headers
        sent = browser.post(path, headers={"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"})
        assert sent.status_code == 403
    assert tokens.one_time == one_time
    text = browser.get(path, headers=ENTERED).text
    assert "p300 console" in text
    assert "s3://" not in text


def test_the_token_opens_the_console_once_and_to_one_browser(closed: tuple[TestClient, Tokens]) -> None:
    browser, tokens = closed
    used = tokens.one_time
    assert browser.head("/", params={"token": used}).status_code == 403, "whoever looks ahead does not use it up"
    answer = browser.get("/", params={"token": used}, headers=ENTERED)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert used not in cookie
    assert {part.strip().casefold() for part in cookie.split(";")[1:]} == {"httponly", "samesite=strict", "path=/"}
    assert 'content="0;url=/executions"' in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert browser.get("/models").status_code == 200
    again = browser.get("/", params={"token": used})
    assert (again.status_code, again.headers["location"]) == (303, "/executions")
    browser.cookies.clear()
    assert browser.get("/", params={"token": used}).status_code == 403
    assert browser.get("/models").status_code == 403


def test_another_browser_comes_in_by_another_token_and_the_first_stays(closed: tuple[TestClient, Tokens]) -> None:
    browser, tokens = closed
    told: list[str] = []
    tokens._on_entry = told.append
    browser.get("/", params={"token": tokens.one_time})
    first = browser.cookies.get(tokens.cookie)
    assert told == [tokens.one_time]
    browser.cookies.clear()
    browser.get("/", params={"token": tokens.one_time})
    second = browser.cookies.get(tokens.cookie)
    assert len({first, second, *told}) == 4
    for session in (first, second):
        browser.cookies.clear()
        assert session
        browser.cookies.set(tokens.cookie, session)
        assert browser.get("/models").status_code == 200


def test_a_token_works_at_its_own_address_only(closed: tuple[TestClient, Tokens]) -> None:
    browser, tokens = closed
    for path in ("/executions", "/models", "/static/console.css"):
        assert browser.get(path, params={"token": tokens.one_time}).status_code == 403
    for headers in ({"Host": "evil.example:4700"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}):
        assert browser.get("/", params={"token": tokens.one_time}, headers=headers).status_code in {403, 421}
    assert browser.get("/", params={"token": tokens.one_time}).status_code == 200


def test_there_is_no_websocket(console: TestClient) -> None:
    for path in ("/", "/executions", "/try/stream"):
        with pytest.raises(WebSocketDisconnect) as closed_, console.websocket_connect(path):
            pass
        assert closed_.value.code == 1008


def test_a_form_is_small_and_says_so(console: TestClient) -> None:
    ours = {"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"}
    assert console.post("/models/train", content=b"x" * 70_000, headers=ours).status_code == 413
    assert console.post("/models/train", content=iter([b"x"]), headers=ours).status_code == 413
    for length in ("9" * 5000, "-1", "x", "٣".encode()):
        headers: Any = {**ours, "Content-Length": length}
        answer = console.post("/models/train", content=b"", headers=headers)
        assert answer.status_code == 413


# ---- odd queries
HUGE = "9" * 5000
ODD_QUERIES = [
    *((path, "page", value) for path in ("/executions", "/recordings") for value in (HUGE, "0", "-1", "1e3", "x", "٣", "1000001", "²")),
    ("/executions", "status", "DONE"), ("/executions", "machine", "foreign"), ("/recordings", "stage", "lost"),
    ("/executions", "subject", "x" * 3000), ("/executions", "sort", "up"), ("/models", "page", "2"), ("/models/rollback", "version", "v1"),
    ("/models/train", "review", "yes"), ("/models/train", "seeds", "1"),
    *(("/try", "trial", value) for value in (HUGE, "-1", "x")),
    ("/try", "layout", "keyboard"), ("/try", "pace", "0"), ("/try", "alias", "best"), ("/try/stream", "start", HUGE),
    ("/try/stream", "pace", "1e999"), ("/model/symbols", "layout", "x"), ("/execution", "arns", "x"), ("/recording", "names", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "name", "value"), ODD_QUERIES)
def test_an_odd_query_is_refused_with_a_message(console: TestClient, path: str, name: str, value: str) -> None:
    more = {"version": "v20260101000000"} if path == "/model/symbols" else {}
    answer = console.get(path, params={name: value, **more})
    assert answer.status_code == 400, answer.text
    assert "xpected" in answer.text
    assert name in answer.text
    assert len(answer.text) < 4000
    twice = console.get(path, params=[(name, value), (name, value)])
    assert twice.status_code == 400


def test_a_seed_of_thousands_of_digits_is_refused(console: TestClient) -> None:
    for seed in ("9" * 1900, "-1", "1.5", "٣", "²"):
        answer = console.get("/models/train", params={"review": "1", "seed": seed})
        assert answer.status_code == 422
        assert "whole number" in answer.text


@given(
    st.sampled_from([path for path in ROUTES if path != "/"]),
    st.dictionaries(
        st.sampled_from(["page", "status", "machine", "subject", "stage", "name", "key", "arn", "state", "visit", "attempt", "item",
                         "version", "recording", "layout", "trial", "alias", "pace", "start", "seed", "model", "review", "x"]),
        st.text(max_size=40) | st.sampled_from(["1", "champion", "v20260101000000", "../..", "subject_01/run", "\x00", "\r\nX: y", HUGE]),
        max_size=3,
    ),
)  # fmt: skip
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_makes_the_console_fail(console: TestClient, path: str, query: dict[str, str]) -> None:
    answer = console.get(path, params=query)
    assert answer.status_code != 500, answer.text
    assert "X" not in answer.headers
    assert "Traceback" not in answer.text
