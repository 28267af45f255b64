"""A page of another site, in Chromium, that tries everything a page can: it changes nothing on the stack and reads nothing from it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support import chromium
from tests.support.localstack import PORT, Stack, run_p300

pytestmark = [pytest.mark.browser, chromium.needed]
ZIP_IN_S3 = {"Code.S3Bucket": "p300-deployment", "Code.S3Key": "packages/ingestion.zip"}
REBOUND = "rebound.example"
"""A name that is this machine's by now, as after DNS rebinding."""

TRY = """
async ({base, bucket, key, presigned, api}) => {
  const read = [];
  const note = (what, text) => { if (text) read.push([what, String(text).slice(0, 200)]); };
  const queries = [
    "/?Action=CreateUser&UserName=page&Version=2010-05-08",
    "/?Action=CreateQueue&QueueName=page&Version=2012-11-05",
    "/?Action=CreateTopic&Name=page&Version=2010-03-31",
    "/?Action=DeleteStack&StackName=p300&Version=2010-05-15",
    `/${bucket}/${key}`, `/${bucket}`, presigned.get, "/_localstack/health", "/_localstack/info", "/_localstack/init", api + "/health",
  ];
  const settle = (element, url, place) => new Promise((done) => {
    for (const event of ["load", "error"]) element.addEventListener(event, () => done(event));
    element[place] = url;
    document.body.append(element);
    setTimeout(() => done("silence"), 3000);
  });
  for (const path of queries) {
    note("image " + path, (await settle(new Image(), base + path, "src")) === "load" && "loaded");
    note("script " + path, (await settle(document.createElement("script"), base + path, "src")) === "load" && "loaded");
    for (const mode of ["cors", "no-cors"]) {
      try {
        const answer = await fetch(base + path, {mode, credentials: "include"});
        note(`fetch ${mode} ${path}`, await answer.text());
      } catch { /* what a page is to see */ }
    }
  }
  const json = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.CreateQueue"};
  const scope = "Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host";
  const forged = `AWS4-HMAC-SHA256 ${scope}, Signature=${"0".repeat(64)}`;
  const requests = [
    ["POST", "/", {"Content-Type": "text/plain"}, '{"QueueName": "page"}'],
    ["POST", "/", json, '{"QueueName": "page"}'],
    ["POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, "Action=CreateQueue&QueueName=page&Version=2012-11-05"],
    ["PUT", `/${bucket}/page`, {}, "page"],
    ["PUT", presigned.put, {}, "page"],
    ["DELETE", `/${bucket}/${key}`, {}, undefined],
    ["POST", `/${bucket}?delete`, {"Content-Type": "text/plain"}, `<Delete><Object><Key>${key}</Key></Object></Delete>`],
    ["POST", "/2015-03-31/functions/p300-ingestion/invocations", {"Content-Type": "text/plain"}, "{}"],
    ["POST", "/_localstack/health", {"Content-Type": "text/plain"}, '{"action": "kill"}'],
    ["POST", api + "/predict", {"Content-Type": "text/plain"}, "{}"],
    ["POST", "/", {...json, Authorization: forged}, '{"QueueName": "page"}'],
  ];
  for (const [method, path, headers, body] of requests) {
    for (const mode of ["cors", "no-cors"]) {
      try {
        const answer = await fetch(base + path, {method, headers, body, mode});
        note(`${method} ${mode} ${path}`, await answer.text());
      } catch { /* what a page is to see */ }
    }
  }
  const beacon = new Blob(['{"QueueName": "page"}'], {type: "text/plain"});
  navigator.sendBeacon(base + "/", beacon);
  for (const path of [`/${bucket}`, "/"]) {
    for (const fields of [{key: "page", file: "page"}, {Action: "CreateQueue", QueueName: "page", Version: "2012-11-05"}]) {
      const frame = document.createElement("iframe");
      frame.name = "target" + Math.random();
      const form = document.createElement("form");
      const enctype = fields.key ? "multipart/form-data" : "application/x-www-form-urlencoded";
      Object.assign(form, {action: base + path, method: "post", enctype, target: frame.name});
      for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement("input"), {name, value}));
      document.body.append(frame, form);
      const loaded = new Promise((done) => { frame.addEventListener("load", done); setTimeout(done, 3000); });
      form.submit();
      await loaded;
      try { note("form " + path, frame.contentDocument && frame.contentDocument.body.textContent); } catch { /* another site's */ }
    }
  }
  for (const path of ["/", presigned.get, "/_localstack/health"]) {
    note("socket " + path, await new Promise((done) => {
      const socket = new WebSocket(base.replace("http", "ws") + path);
      socket.addEventListener("open", () => done("opened"));
      socket.addEventListener("error", () => done(""));
      setTimeout(() => done(""), 3000);
    }));
  }
  return read;
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium for which another site's name has come to mean this machine."""
    with sync_playwright() as playwright:
        rules = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"
        started = playwright.chromium.launch(executable_path=chromium.PROGRAM, args=[*chromium.FLAGS, rules])
        yield started
        started.close()


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """The port of a web server with an empty page."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>page</title><body>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        context.set_default_timeout(120_000)
        yield context.new_page()


def seen(stack: Stack) -> dict[str, Any]:
    """Return all that a request could have changed."""
    client = stack.target.client
    return {
        "buckets": [one["Name"] for one in stack.s3.list_buckets()["Buckets"]],
        "objects": {bucket: stack.keys(bucket) for bucket in (stack.landing, stack.raw, stack.features, stack.models)},
        "queues": client("sqs").list_queues()["QueueUrls"],
        "topics": client("sns").list_topics()["Topics"],
        "users": [one["UserName"] for one in client("iam").list_users()["Users"]],
        "executions": client("stepfunctions").list_executions(stateMachineArn=stack.outputs["StateMachineArn"])[
            "executions"
        ],
        "stack": stack.target.outputs,
    }


def what(stack: Stack, base: str) -> dict[str, Any]:
    """Return what a page could know of the stack, and more: addresses that are signed."""
    where = {"Bucket": stack.models, "Key": "secret.txt"}
    stack.s3.put_object(**where, Body=b"secret")
    signed = {
        name: stack.s3.generate_presigned_url(operation, where)
        for name, operation in (("get", "get_object"), ("put", "put_object"))
    }
    return {
        "base": base,
        "bucket": stack.models,
        "key": "secret.txt",
        "presigned": {name: _target(url) for name, url in signed.items()},
        "api": _target(stack.target.api_url),
    }


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("host", [REBOUND, "localhost"])
def test_a_page_of_another_site_changes_nothing_and_reads_nothing(
    page: Page, stack: Stack, site: int, host: str, name: str
) -> None:
    """The other site may be somebody's on the internet, or another program's on this machine."""
    told = what(stack, f"http://{name}:{PORT}")
    before = seen(stack)
    page.goto(f"http://{host}:{site}/")
    assert page.evaluate(TRY, told) == []
    assert seen(stack) == before


def test_a_page_whose_name_was_rebound_to_this_machine_changes_nothing_and_reads_nothing(
    page: Page, stack: Stack
) -> None:
    """Its requests come from the same site, as the browser sees it."""
    told = what(stack, f"http://{REBOUND}:{PORT}")
    before = seen(stack)
    answer = page.goto(f"http://{REBOUND}:{PORT}/_localstack/health")
    assert answer is not None
    assert answer.status == 403
    texts = [text for _, text in page.evaluate(TRY, told)]
    # It may read the answers, and all of them are refusals.
    assert texts
    assert all("does not name this machine" in text for text in texts), json.dumps(texts, indent=1)
    assert seen(stack) == before


def test_the_users_own_page_may_ask_the_api_with_its_key(page: Page, stack: Stack, site: int) -> None:
    """The gateway leaves that to the API, whose parameter CorsOrigin says which page may read the answer."""
    own = f"http://localhost:{site}"
    ask = """async ([url, key]) => {
      try { return (await fetch(url, {headers: {"x-api-key": key}})).status } catch { return "refused" }
    }"""
    address = [f"{stack.target.api_url}/models", stack.target.api_key]
    page.goto(own)
    assert page.evaluate(ask, address) == "refused"
    run_p300("deploy", "--parameter", f"CorsOrigin={own}")
    try:
        assert page.evaluate(ask, address) == 200
        assert page.evaluate(ask, [address[0], "another-key"]) == "refused"
        page.goto(f"http://{REBOUND}:{site}")
        assert page.evaluate(ask, address) == "refused"
    finally:
        run_p300("deploy")
