"""The exported page as its reader has it: real Chromium, a file, no network, under the page's own policy."""

from __future__ import annotations

import shutil
import subprocess

import pytest

import kit
from kit.journal import Journal
from kit.report import verify
from tests.browser._axe import COLOURS, LEVELS, violations
from tests.browser._boxes import boxes, out_of_sight, scrolled_to
from tests.browser._findings import full_finding
from tests.browser._latency import followed
from tests.browser._offline import opened_offline
from tests.browser._paint import painted
from tests.panel._panel_cases import HOSTILE, make_report

pytestmark = pytest.mark.browser
SCANS = {(360, "light"): LEVELS, (360, "dark"): COLOURS, (1300, "light"): COLOURS, (1300, "dark"): LEVELS}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return full_finding().write(tmp_path_factory.mktemp("one") / "page.html").path


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Four kept findings, one of each verdict, with notes and a diagnosis."""
    folder = tmp_path_factory.mktemp("many")
    journal = Journal(folder)
    for verdict in ("refuted", "confirmed", "partly", "open"):
        finding = full_finding(
            verdict=verdict, question=f"Is it {verdict}?", why="Counted twice.", sure="Two seeds agree."
        )
        journal.keep(finding, note=f"Seen as {verdict}.", name=f"case {verdict}", diagnosis="No step is taken.")
    return journal.write_html(folder / "page.html", "The investigation").path


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    journal = Journal(folder)
    finding = full_finding()
    journal.keep(finding, name="before")
    finding.panels[0].weights = {"lam_cov": 0.0}
    journal.keep(finding, name="after")
    return journal.compare("before", "after").write(folder / "page.html").path


def box(page, panel, weight):
    return page.locator(f'#panel-{panel} .kit-row[data-weight="{weight}"] input.kit-box')


def total(page, panel=1):
    return painted(page).locator(f"#panel-{panel} .kit-total").inner_text()


def test_sizes(one, many):
    assert one.stat().st_size <= 300_000
    assert many.stat().st_size <= 1_500_000


def test_it_is_usable_within_a_second(many, browser):
    """From asking for the page to a slider that answers, in processor time of its thread: other work may share the machine."""
    with opened_offline(browser, many) as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = _task_seconds(session)
        page.goto(many.as_uri())
        page.locator("#panel-4 .kit-row[data-weight=lam_cov] input[type=range]").press("Home")
        painted(page)
        seconds = _task_seconds(session) - before
        assert box(page, 4, "lam_cov").input_value() == "0"
    assert 0.01 < seconds < 1.0


def _task_seconds(session):
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(entry["value"] for entry in metrics if entry["name"] == "TaskDuration")


def test_a_slider_is_followed_in_the_frames_that_come(one, browser):
    slider = '#panel-1 .kit-row[data-weight="lam_K"] input[type=range]'
    with opened_offline(browser, one) as page:
        page.wait_for_selector(slider)
        followed(page, slider, "#panel-1 .kit-total")


@pytest.mark.parametrize("which", ["one", "many", "two"])
def test_wcag_finds_nothing_and_nothing_is_wider_than_the_page(which, browser, axe, request):
    """Each rule in each width, and those of colour in each theme as well."""
    path = request.getfixturevalue(which)
    with opened_offline(browser, path, reduced_motion="reduce") as page:
        painted(page)
        page.locator(".kit-copy-link").first.click()  # the link's field is looked at too
        for (width, scheme), rules in SCANS.items():
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            assert violations(painted(page), axe, rules=rules) == [], (width, scheme)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


@pytest.mark.parametrize("which", ["one", "many", "two"])
def test_on_a_telephone_the_numbers_stay_above_the_sliders(which, browser, request):
    """Whatever the page puts a panel in: no box around it may scroll for itself."""
    path = request.getfixturevalue(which)
    with opened_offline(browser, path, viewport={"width": 360, "height": 640}, reduced_motion="reduce") as page:
        painted(page)
        for weight in ("lam_cov", "lam_K", "lam_peak_contrast"):
            row = page.locator(f'#panel-1 .kit-row[data-weight="{weight}"]')
            scrolled_to(page, row, 110)
            seen = out_of_sight(
                page, "#panel-1 .kit-panel", [".kit-total", ".kit-grad", ".kit-small-parts", ".kit-small-gradients"]
            )
            assert seen["out"] == [] and min(seen["counts"].values()) == 1
            ((_, top, _, height),), (place,) = boxes(page.locator("#panel-1 .kit-readout")), boxes(row)
            assert top + height <= place[1] + 1 and place[1] + place[3] <= 641


def test_axe_would_notice(one, browser, axe):
    with opened_offline(browser, one) as page:
        page.evaluate("() => document.querySelector('.kit-picture').removeAttribute('alt')")
        page.evaluate("() => { document.querySelector('.lead').style.color = '#ccc' }")
        assert {line.split(" ")[0] for line in violations(page, axe)} == {"image-alt", "color-contrast"}


def test_a_link_restores_the_sliders_of_its_panel(many, browser):
    with opened_offline(browser, many) as page:
        box(page, 3, "lam_cov").fill("1.25")
        box(page, 3, "lam_K").fill("0")
        wanted = total(page, 3)
        page.locator("#panel-3-tools .kit-copy-link").click()
        field = page.locator("#panel-3-tools .kit-link")
        link = field.input_value()
        assert link == f"{many.as_uri()}#panel=3&state=1&w=lam_cov:1.25,lam_K:0"
        # the clipboard answers later than the click
        page.wait_for_function(
            "() => document.querySelector('#panel-3-tools [role=status]').textContent.includes('ink')"
        )
    with opened_offline(browser, many) as page:
        page.goto(link)
        page.wait_for_function("() => document.querySelector('#panel-3-tools [role=status]').textContent !== ''")
        assert total(page, 3) == wanted and box(page, 3, "lam_cov").input_value() == "1.25"
        assert box(page, 1, "lam_cov").input_value() == "0.3", "the other panels stand as they were left"
        # brought into view, smoothly
        page.wait_for_function(
            "() => Math.abs(document.querySelector('#panel-3').getBoundingClientRect().top) < innerHeight"
        )


def test_the_address_is_followed_on_opening_and_while_open(one, browser):
    with opened_offline(browser, one) as page:
        page.goto(f"{one.as_uri()}#w=lam_cov:0,lam_aux:2")
        page.reload()
        painted(page)
        assert box(page, 1, "lam_cov").input_value() == "0" and box(page, 1, "lam_aux").input_value() == "2"
        page.evaluate("() => { location.hash = '#state=2&w=' }")
        page.wait_for_function("() => document.querySelector('.kit-case').value === '1'")
        painted(page)
        assert box(page, 1, "lam_cov").input_value() == "0.1" and box(page, 1, "lam_aux").input_value() == "0.1"
        page.evaluate("() => { location.hash = '#w=lam_nobody:1,lam_cov:99' }")
        status = page.locator("#panel-1-tools [role=status]")
        page.wait_for_function(
            "() => document.querySelector('#panel-1-tools [role=status]').textContent.includes('nobody')"
        )
        assert "which has no slider here" in status.inner_text() and "beyond 2" in status.inner_text()
        page.evaluate("() => { location.hash = '#evidence-1' }")
        painted(page)
        assert box(page, 1, "lam_cov").input_value() == "0.1", "an ordinary anchor moves no slider"


def test_the_numbers_of_the_page_are_those_of_the_extraction(one, browser):
    tables = verify(one).tables
    with opened_offline(browser, one, accept_downloads=True) as page:
        for name in ("figure-1", "table-1", "panel-1"):
            with page.expect_download() as got:
                page.locator(f"#{name}-tools").get_by_role("button", name="Numbers (CSV)").click()
            assert got.value.suggested_filename == f"{name}.csv"
            with open(got.value.path(), encoding="utf-8", newline="") as file:
                assert _numbers(file.read()) == _numbers(tables[f"{name}.csv"])


def _numbers(text):
    cells = [cell for line in text.splitlines() for cell in line.split(",")]
    return [float(cell) if cell[:1].isdigit() or cell[:2] == "-0" else cell for cell in cells]


def test_the_browser_checks_the_record_and_notices_a_change(one, browser, tmp_path):
    with opened_offline(browser, one) as page:
        page.wait_for_function(
            "() => document.getElementById('kit-data-check').textContent.includes('as they were written')"
        )
        assert page.locator("#kit-data-sha256").inner_text() == verify(one).sha256
    changed = tmp_path / "changed.html"
    changed.write_text(one.read_text(encoding="utf-8").replace("0.75", "0.57"), encoding="utf-8")
    with opened_offline(browser, changed) as page:
        page.wait_for_function("() => document.getElementById('kit-data-check').textContent.includes('NOT')")


def test_the_policy_stops_a_script_that_is_not_the_pages(one, browser, tmp_path):
    path = tmp_path / "attacked.html"
    attack = "<script>window.hit = 1</script><p onclick='window.hit = 2' id='bait'>x</p><img src='https://example.org/x.png'>"
    path.write_text(one.read_text(encoding="utf-8").replace("</main>", f"{attack}</main>"), encoding="utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    said, requests = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("requestfailed", lambda request: requests.append((request.url, request.failure)))
    page.goto(path.as_uri())
    page.wait_for_selector(".kit-total")
    page.click("#bait")
    assert page.evaluate("window.hit") is None and sum("Content Security Policy" in text for text in said) >= 3
    assert requests == [("https://example.org/x.png", "csp")], "stopped by the policy, before any network"
    context.close()


def test_hostile_words_do_nothing(browser, tmp_path):
    report = make_report(1, names=HOSTILE, weight_names=HOSTILE)
    text = HOSTILE[0] + HOSTILE[3] + "\U0001f525 long " * 1500
    panel = kit.Panel({HOSTILE[1]: report}, title=text, note=text)
    table = kit.report.Table(kit_frame(text), text)
    finding = kit.Finding(text, text, "open", text, (panel, table, text), text, text, 0, text, text, text)
    journal = Journal(tmp_path)
    journal.keep(finding, note=text, name=text[:150])
    path = journal.write_html(tmp_path / "page.html", text).path
    with opened_offline(browser, path, viewport={"width": 360, "height": 900}) as page:
        painted(page)
        assert page.evaluate("window.hit") is None
        assert page.locator("article img").count() == 0 and page.title() == " ".join(text.split())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator(".kit-copy-link").click()
        page.locator("#panel-1 .kit-row").first.locator("button.kit-zero").click()
        page.locator(".kit-copy-link").click()
        link = page.locator(".kit-link").input_value()
        assert link.isascii() and "<" not in link
        before = total(page)
        page.evaluate("link => { location.hash = '#w=' }", link)
        page.wait_for_function("before => document.querySelector('.kit-total').textContent !== before", arg=before)
        page.goto(link)
        page.wait_for_function("before => document.querySelector('.kit-total').textContent === before", arg=before)


def kit_frame(text):
    import pandas as pd

    return pd.DataFrame({text: [text]})


def test_everything_is_reached_with_the_keyboard_and_has_a_name(one, browser):
    with opened_offline(browser, one) as page:
        page.wait_for_selector(".kit-total")
        seen = []
        for _ in range(80):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate("() => { const n = document.activeElement; return n.id || n.className || n.tagName }")
            )
            if seen[-1] == "BODY":
                break
        assert seen[0] == "skip"
        wanted = page.locator("main :is(a[href], button, input, select, textarea, [tabindex='0'])").evaluate_all(
            "nodes => nodes.filter(n => n.checkVisibility()).length"
        )
        assert len(seen) - 1 >= wanted
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#findings"


def test_without_scripts_verdict_figures_and_setting_are_read(many, browser):
    options = {"java_script_enabled": False, "viewport": {"width": 360, "height": 900}}
    with opened_offline(browser, many, **options) as page:
        assert (
            page.locator(".lead").count() == 4
            and page.locator(".answer .verdict").first.inner_text() == "claim does not hold"
        )
        assert page.locator(".kit-picture").count() == 4
        assert page.locator(".kit-still img").count() == 4 and page.locator(".kit-still table").count() == 4
        assert page.locator("button").count() == 0, "nothing that does nothing"
        assert page.locator("math").first.is_visible()


def test_verdicts_differ_by_word_and_sign_not_by_colour_alone(many, browser):
    with opened_offline(browser, many) as page:
        marks = page.locator(".answer .verdict").evaluate_all(
            "nodes => nodes.map(n => [n.textContent, getComputedStyle(n, '::before').content])"
        )
        assert len({text for text, _ in marks}) == 4 and len({mark for _, mark in marks}) == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_paper(many, browser, tmp_path, scheme):
    tool = shutil.which("pdftotext")
    with opened_offline(browser, many, color_scheme=scheme) as page:
        page.wait_for_selector("#panel-4 .kit-total")
        page.emulate_media(media="print")
        shown = page.locator("button, .skip, .kit-link").evaluate_all(
            "nodes => nodes.filter(n => n.checkVisibility()).length"
        )
        assert shown == 0
        assert page.locator("body").evaluate("n => getComputedStyle(n).backgroundColor") == "rgb(255, 255, 255)"
        page.pdf(path=tmp_path / "page.pdf", format="A4")
    if tool is not None:
        text = subprocess.run([tool, tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True).stdout
        assert text.count("With lam_cov = 0 six terms remain") == 4 and "Numbers (CSV)" not in text


def test_motion_only_where_it_is_welcome(one, browser):
    for motion, behaviour in (("reduce", "auto"), ("no-preference", "smooth")):
        with opened_offline(browser, one, reduced_motion=motion) as page:
            assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == behaviour
            slow = "nodes => nodes.filter(n => parseFloat(getComputedStyle(n).transitionDuration) > 0).length"
            assert (page.locator("button").evaluate_all(slow) == 0) == (motion == "reduce")
