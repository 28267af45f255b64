"""The console in a real browser on the real stack: one story from an empty stack to a rolled-back model, and every page looked at.

Screenshots of every page go to .local/screenshots, in two widths and two colour schemes.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from p300_client.paths import STATE
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.support import chromium
from tests.support.localstack import Stack, console, run_p300, wait_for
from tests.support.recordings import recording

pytestmark = [pytest.mark.browser, chromium.needed]
SCREENSHOTS = STATE / "screenshots"
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
SUBJECTS = range(1, 6)
GOOD = "subject_01/run_01"
EVIL = "subject_09/<img src=x onerror=alert(1)>.csv"
WAIT_MS = 90_000
expect.set_options(timeout=30_000)  # a failing machine is told by its tests, a busy one is not


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium.PROGRAM, args=chromium.FLAGS)
        yield started
        started.close()


@dataclass(frozen=True)
class Opened:
    """A console, and the cookies of the browser that has opened it."""

    address: str
    cookies: Any


@pytest.fixture(scope="module")
def opened(browser: Browser, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """The console, which runs through the whole story; opened as the command does it, by a page that leads to the address."""
    page = tmp_path_factory.mktemp("console") / "open.html"
    with console() as address:
        page.write_text(f'<meta http-equiv="refresh" content="0;url={address}">')
        with browser.new_context() as context:
            tab = context.new_page()
            tab.goto(page.as_uri())
            tab.wait_for_url("**/executions")
            expect(tab.get_by_role("heading", name="Executions")).to_be_visible()
            yield Opened(address.partition("/?")[0], context.cookies())


def entered(browser: Browser, opened: Opened, **how: Any) -> BrowserContext:
    """Return a browser that has opened the console."""
    context = browser.new_context(base_url=opened.address, **how)
    context.add_cookies(opened.cookies)
    return context


@pytest.fixture(scope="module")
def visit(browser: Browser, opened: Opened) -> Iterator[Callable[..., Page]]:
    """visit("/executions"): a tab at that page; whatever a tab's console complains of fails the test that closes it."""
    complaints: list[str] = []
    context = entered(browser, opened, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))

    def open_(path: str) -> Page:
        page.goto(path)
        return page

    yield open_
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def look(browser: Browser, opened: Opened) -> Callable[[str, str], None]:
    """look("name", path): a screenshot in every width and colour scheme, axe on each, nothing wider than the screen."""
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    SCREENSHOTS.mkdir(parents=True)

    def at(name: str, path: str) -> None:
        with entered(browser, opened) as context:
            page = context.new_page()
            page.goto(path)
            for size, (width, height) in SIZES.items():
                page.set_viewport_size({"width": width, "height": height})
                for scheme in SCHEMES:
                    page.emulate_media(color_scheme=scheme)
                    page.screenshot(path=SCREENSHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
                    check(page, f"{name}, {size}, {scheme}")

    return at


def check(page: Page, what: str) -> None:
    """Fail where axe finds something serious, or the page has to be scrolled sideways."""
    found: Any = Axe().run(page).response["violations"]
    serious = [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
    assert serious == [], what
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, what


def test_a_browser_that_has_not_opened_the_console_sees_nothing(browser: Browser, opened: Opened) -> None:
    with browser.new_context(base_url=opened.address) as context:
        page = context.new_page()
        for path in ("/executions", "/models", "/?token=wrong"):
            page.goto(path)
            expect(page.get_by_role("heading")).to_have_text("This browser has not opened the console")


def test_a_link_from_another_site_leads_into_the_open_console(browser: Browser, opened: Opened, tmp_path: Path) -> None:
    """The browser keeps a strict cookie to itself where another page has led to the console: that page asks once more."""
    (tmp_path / "link.html").write_text(f'<a href="{opened.address}/models">models</a>')
    with entered(browser, opened) as context:
        page = context.new_page()
        page.goto((tmp_path / "link.html").as_uri())
        page.get_by_role("link", name="models").click()
        page.get_by_role("link", name="Continue to the console").click()
        expect(page.get_by_role("heading", name="Executions")).to_be_visible()


def test_an_empty_stack_says_what_to_do(visit: Callable[..., Page], look: Callable[[str, str], None]) -> None:
    for path, text in (
        ("/executions", "Nothing has run yet"),
        ("/recordings", "There are no recordings yet"),
        ("/models", "No model yet"),
        ("/try", "No recording has features yet"),
    ):
        expect(visit(path).locator("main")).to_contain_text(text)
    look("empty", "/executions")


def test_a_good_recording_succeeds_and_a_bad_one_is_quarantined_before_ones_eyes(
    visit: Callable[..., Page], stack: Stack
) -> None:
    page = visit("/executions")
    page.evaluate("window.untouched = true")
    for subject in SUBJECTS:
        body = recording(subject, n_channels=8)
        stack.s3.put_object(Bucket=stack.landing, Key=f"subject_{subject:02d}/run_01.parquet", Body=body)
    stack.s3.put_object(Bucket=stack.landing, Key="subject_08/notes.csv", Body=b"a,b\n1,2\n")
    stack.s3.put_object(Bucket=stack.landing, Key=EVIL, Body=b"x")
    table = page.locator("#executions")
    expect(table.get_by_role("row").filter(has_text=GOOD)).to_contain_text("Succeeded", timeout=WAIT_MS)
    bad = table.get_by_role("row").filter(has_text="subject_08/notes.csv")
    expect(bad).to_contain_text("quarantined:", timeout=WAIT_MS)
    expect(table.get_by_role("row").filter(has_text=EVIL)).to_contain_text("quarantined:", timeout=WAIT_MS)
    expect(table.locator("tbody tr")).to_have_count(len(SUBJECTS) + 2, timeout=WAIT_MS)
    wait_for(lambda: stack.keys(stack.models, "aliases/champion") or None, "the training that is due", 300)
    expect(page.get_by_role("link", name=re.compile(r"Running\s+0"))).to_be_visible(timeout=WAIT_MS)
    assert page.evaluate("window.untouched"), "the page was loaded anew instead of kept"


def test_filters(visit: Callable[..., Page]) -> None:
    page = visit("/executions")
    page.get_by_label("Subject").fill("subject_03")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#executions tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Failed").click()
    expect(page.locator("#executions")).to_contain_text("No execution matches")


def test_the_graph_shows_the_way_and_leads_to_input_output_and_logs(visit: Callable[..., Page]) -> None:
    page = visit("/executions")
    page.locator("#executions").get_by_role("link", name=GOOD).click()
    graph = page.get_by_role("region", name="Graph of the state machine")
    expect(graph.locator(".node.succeeded").first).to_be_visible()
    expect(graph.get_by_label("Ingest, Task: Succeeded")).to_be_visible()
    expect(graph.get_by_label("Quarantined, Pass: Not entered", exact=True)).to_be_attached()
    # by keyboard
    graph.get_by_label("Ingest, Task: Succeeded").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Ingest")).to_be_visible()
    expect(page.locator("#details")).to_contain_text('"outcome": "stored"')
    page.locator("#details").get_by_text("Input", exact=False).first.click()
    expect(page.locator("#details")).to_contain_text('"detail-type": "Object Created"')
    page.get_by_role("link", name="Logs of p300-ingestion").click()
    expect(page.locator("#lines")).to_contain_text("ingested")
    expect(page.locator("#lines")).to_contain_text("REPORT RequestId")


def test_a_failure_shows_error_cause_and_where(visit: Callable[..., Page], stack: Stack) -> None:
    failed = stack.execute({"subjects": ["subject_77"]})
    assert failed.status == "FAILED"
    page = visit("/executions?status=FAILED")
    page.locator("#executions").get_by_role("link", name="training request").click()
    graph = page.get_by_role("region", name="Graph of the state machine")
    expect(graph.get_by_label("Train, Task: Failed", exact=True)).to_be_attached()
    expect(graph.get_by_label("Notify, Task: Not entered", exact=True)).to_be_attached()
    expect(page.locator("#details")).to_contain_text("TrainingError")
    expect(page.locator("#details")).to_contain_text("subject_77")


def test_recordings_have_stages_reasons_pictures_and_reports(visit: Callable[..., Page]) -> None:
    page = visit("/recordings?stage=quarantined")
    expect(page.locator("#recordings tbody tr")).to_have_count(2)
    expect(page.locator("#recordings")).to_contain_text(EVIL)
    page.get_by_role("link", name="subject_08/notes.csv").click()
    expect(page.get_by_role("listitem").filter(has_text="Quarantined")).to_have_attribute("aria-current", "step")
    # Reports are drawn after the execution has ended.
    drawn = "Averages of Target"
    wait_for(lambda: visit(f"/recording?name={GOOD}").get_by_role("img", name=drawn).count() or None, "the plot")
    page = visit(f"/recording?name={GOOD}")
    expect(page.locator("#recording")).to_contain_text("144 of 144")
    expect(page.get_by_role("img", name=drawn)).to_have_js_property("complete", True)
    assert page.get_by_role("img", name="Averages of Target").evaluate("(image) => image.naturalWidth") > 500
    with page.expect_response(re.compile("report.html")) as answer:
        page.get_by_role("link", name="Open the report").click()
    assert answer.value.headers["content-security-policy"].startswith("sandbox")
    expect(page.locator("body")).to_contain_text("Single-flash AUC")


def test_every_item_of_a_backfill_is_told(visit: Callable[..., Page]) -> None:
    run_p300("backfill")
    page = visit("/executions?machine=backfill")
    page.get_by_role("link", name="all recordings").click()
    page.get_by_label("Every recording, Map: Succeeded").first.click(position={"x": 30, "y": 12})  # its title
    expect(page.locator("#details")).to_contain_text("5 in all: 5 succeeded")
    items = page.get_by_role("table", name="Items of the Map, one by one").locator("tbody tr")
    expect(items).to_have_count(5)
    expect(items.first).to_contain_text("subject_01/run_01.parquet")


def test_train_promote_and_roll_back(visit: Callable[..., Page], stack: Stack) -> None:
    page = visit("/models")
    first = page.locator("#models tbody tr").first.get_by_role("rowheader").inner_text()
    page.get_by_role("link", name="Train…").click()
    page.get_by_label("Kind of model").select_option("lda")
    page.get_by_role("button", name="Review…").click()
    expect(page.get_by_role("heading", name="Start this training?")).to_be_visible()
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#facts")).to_contain_text(re.compile("model v[0-9]+ (promoted|kept)"), timeout=WAIT_MS)
    page = visit("/models")
    rows = page.locator("#models tbody tr")
    other = next(name for name in (row.get_by_role("rowheader").inner_text() for row in rows.all()) if name != first)
    champion = page.locator("#models tr").filter(has=page.locator(".pill.champion")).first
    serving = champion.get_by_role("rowheader").inner_text()
    wanted = other if serving == first else first
    page.get_by_role("link", name=f"Promote {wanted}").click()
    page.get_by_role("button", name=f"Promote {wanted}").click()
    expect(champion.get_by_role("rowheader")).to_have_text(wanted)
    assert stack.s3.get_object(Bucket=stack.models, Key="aliases/champion")["Body"].read().decode() == wanted
    page.get_by_role("link", name="Roll back…").click()
    page.get_by_role("button", name=f"Roll back to {serving}").click()
    expect(champion.get_by_role("rowheader")).to_have_text(serving)
    page.get_by_role("link", name=first).first.click()
    expect(page.get_by_role("columnheader", name="AUC of LDA", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Calibration"))).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="model.npz")).to_contain_text(re.compile("[0-9a-f]{64}"))


def test_try_it_lets_the_right_symbol_grow(visit: Callable[..., Page]) -> None:
    page = visit("/try")
    page.get_by_label("Recording").select_option(GOOD)
    page.get_by_label("Pace").select_option("30")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#flash")).to_have_text(re.compile("^([2-9].|1..) of 144"), timeout=WAIT_MS)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    check(page, "try it, half-way")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#flash")).to_have_text("144 of 144", timeout=WAIT_MS)
    expect(page.locator("#best")).to_have_text("O")  # column 3, row 3
    expect(page.locator("td.attended.best")).to_have_count(1)
    expect(page.locator("#stopped")).to_contain_text("O, correct")
    assert page.locator("#dots circle.target").count() == 24
    page.screenshot(path=SCREENSHOTS / "try-done.png", full_page=True)


def test_symbols_right_by_repetitions_are_drawn_as_the_api_answers(visit: Callable[..., Page]) -> None:
    page = visit("/models")
    page.locator("#models tbody a").first.click()
    page.get_by_role("button", name="Decode recordings").click()
    expect(page.locator("#symbols-about")).to_contain_text(
        "After 12 of 12 repetitions, 5 of 5 symbols are correct", timeout=WAIT_MS
    )
    expect(page.locator("#symbols-points circle")).to_have_count(12)
    check(page, "a model's symbols")
    page.screenshot(path=SCREENSHOTS / "model-symbols.png", full_page=True)


def test_every_page_is_readable_and_labelled(
    visit: Callable[..., Page], look: Callable[[str, str], None], stack: Stack
) -> None:
    page = visit("/executions")
    one = page.locator("#executions").get_by_role("link", name=GOOD).get_attribute("href")
    failed = visit("/executions?status=FAILED").locator("#executions tbody a").first.get_attribute("href")
    backfill = visit("/executions?machine=backfill").locator("#executions tbody a").first.get_attribute("href")
    logs = visit(f"{one}&state=Ingest").get_by_role("link", name="Logs of").get_attribute("href")
    quarantined = visit("/recordings?stage=quarantined").locator("#recordings tbody a").first.get_attribute("href")
    model = visit("/models").locator("#models tbody a").first.get_attribute("href")
    promote = visit("/models").get_by_role("link", name="Promote").first.get_attribute("href")
    for name, path in {
        "executions": "/executions",
        "execution": one,
        "execution-failed": failed,
        "execution-map": backfill,
        "logs": logs,
        "recordings": "/recordings",
        "recording": f"/recording?name={GOOD}",
        "recording-quarantined": quarantined,
        "models": "/models",
        "model": model,
        "promote": promote,
        "train": "/models/train",
        "train-review": "/models/train?review=1&model=lda",
        "try": f"/try?recording={GOOD}",
        "not-found": "/nothing",
    }.items():
        assert path, name
        look(name, path)


def test_the_keyboard_reaches_the_content_and_the_colours_can_be_switched(visit: Callable[..., Page]) -> None:
    page = visit("/executions")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Subject")).to_be_focused()
    page.get_by_role("button", name="Switch to dark colours").click()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    page.get_by_role("button", name="Switch to light colours").click()


def test_localstack_may_go_and_come_back(visit: Callable[..., Page], look: Callable[[str, str], None]) -> None:
    page = visit("/executions")
    run_p300("down")
    expect(page.get_by_role("alert")).to_contain_text("does not answer", timeout=WAIT_MS)
    expect(page.locator("#executions")).to_contain_text(GOOD)  # what was seen stays to be read
    look("away", "/models")
    waiting = visit("/models")
    expect(waiting.locator("main")).to_contain_text("Waiting for the stack")
    run_p300("up")
    expect(waiting.get_by_role("heading", name="Models")).to_be_visible(timeout=WAIT_MS)
    expect(waiting.get_by_role("alert")).to_be_empty()
    expect(visit("/executions").locator("main")).to_contain_text("Nothing has run yet")
