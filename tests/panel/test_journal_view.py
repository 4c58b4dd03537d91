"""The list of kept findings: every button in a real browser and in Python, with the keyboard, without a violation."""

from __future__ import annotations

import contextlib
import json

import pytest

from kit.journal import Journal
from kit.live import SystemSession
from kit.live.widget import LivePanel
from kit.panel import JournalView, stylesheet
from kit.panel.assets import journal_source
from tests.browser._axe import violations
from tests.browser._offline import offline_tab
from tests.browser._paint import painted
from tests.journal._findings import small
from tests.panel._panel_cases import HOSTILE
from tests.training._runs import small_system

# the six functions of a widget model; what the view sends is kept for the test to answer
MODEL = """
const state = STATE, listeners = {};
window.sent = [];
const model = { get: (name) => state[name], set: (name, value) => { state[name] = value; },
  on: (name, act) => (listeners[name] ??= []).push(act), off: () => {}, save_changes: () => {},
  send: (message) => window.sent.push(message) };
window.change = (changes) => {
  Object.assign(state, changes);
  for (const name of Object.keys(changes)) for (const act of listeners[`change:${name}`] ?? []) act();
};
renderJournal({ model, el: document.querySelector("main") });
"""


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "findings")
    for name in ("one", "two", "three"):
        journal.keep(small(), name=name, note=f"note of {name}")
    return journal


def state_of(view):
    return {name: getattr(view, name) for name in ("entries", "offers", "removed", "status", "written", "compared")}


@pytest.fixture
def show(browser, tmp_path):
    """show(view, **options) -> page with the view's list; `act(page, view)` hands on what was pressed."""
    with contextlib.ExitStack() as left:

        def go(view, **options):
            page = left.enter_context(offline_tab(browser, **options)).page
            module = journal_source().replace("export default { render: renderJournal };", "")
            state = json.dumps(state_of(view)).replace("<", "\\u003c")
            path = tmp_path / "list.html"
            path.write_text(
                f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                f"<title>t</title><style>{stylesheet()}</style><body><main><h1>t</h1><h2>u</h2></main>"
                f'<script type="module">{module}{MODEL.replace("STATE", state)}</script></body></html>',
                encoding="utf-8",
            )
            page.goto(path.as_uri())
            page.wait_for_selector(".kit-journal")
            return page

        yield go


def act(page, view):
    """What the view sent goes to Python, and what Python changed goes back."""
    for message in page.evaluate("() => window.sent.splice(0)"):
        view.act(message)
    page.evaluate("changes => window.change(changes)", state_of(view))
    painted(page)


def shown(page):
    return page.locator(".kit-entry-name").evaluate_all("nodes => nodes.map(n => n.value)")


def test_python_does_what_the_buttons_say_and_says_what_went_wrong(journal):
    view = journal.view(small("Another?"))
    assert isinstance(view, JournalView) and [entry["name"] for entry in view.entries] == ["one", "two", "three"]
    view._receive(view, {"action": "keep", "offer": 0, "note": "now"}, [])
    assert view.status == "Kept as \u201cAnother?\u201d." and len(view.entries) == 4
    first = view.entries[0]["key"]
    view.act({"action": "remove", "key": first})
    assert view.removed == first and first not in [entry["key"] for entry in view.entries]
    view.act({"action": "restore", "key": view.removed})
    assert view.removed == "" and view.entries[0]["key"] == first
    view.act({"action": "export"})
    assert view.status.startswith("wrote ") and (journal.path.parent / "journal.html").is_file()
    for message, said in (
        ({"action": "rename", "key": view.entries[0]["key"], "name": "two"}, "could not rename: name should be free"),
        ({"action": "note", "key": "nobody", "note": ""}, "could not note: entry should be known"),
        ({"action": "sing"}, "could not act: unknown action 'sing'"),
        ({"action": "restore", "key": "nobody"}, "could not restore: key should be"),
    ):
        view.act(message)
        assert view.status.startswith(said)
    Journal(journal.path).keep(small(), name="from another notebook")
    view.act({"action": "refresh"})
    assert view.entries[-1]["name"] == "from another notebook"


def test_a_live_panel_is_kept_as_it_stands_with_its_diagnosis(journal):
    live = LivePanel(SystemSession(small_system(), probe_every=5, title="Live?"))
    view = journal.view(live)
    assert view.offers == ["Live: Live?"]
    view.act({"action": "keep", "offer": 0, "note": "before", "name": "early"})
    live.weights = {"lam_cov": 0.5}
    live.steps(6)
    live.faults = ["nan_gradients"]
    view.act({"action": "keep", "offer": 0, "note": "after", "name": ""})
    named = "lam_cov 0.5 + NaN gradients, 6 batches"
    assert view.status == f"Kept as \u201c{named}\u201d."
    view.act({"action": "keep", "offer": 0, "note": "", "name": ""})
    assert view.status == f"Nothing has changed since it was kept as \u201c{named}\u201d." and len(journal) == 5
    early, late = journal["early"], journal[named]
    assert early.note == "before" and "Nothing was trained" in early.finding.answer
    assert late.diagnosis == late.finding.answer == live.line
    assert late.finding.panels[0].weights["lam_cov"] == 0.5
    assert "NaN gradients" in late.finding.evidence[1].frame.to_string()
    live.close()


def test_two_findings_are_compared_in_the_notebook_and_as_a_page(journal):
    view = journal.view()
    keys = [entry["key"] for entry in view.entries]
    view.act({"action": "compare", "first": keys[0], "second": keys[1]})
    assert view.status.startswith("wrote ") and (journal.path.parent / "comparison.html").is_file()
    assert "What differs" in view.compared and "note of one" in view.compared
    view.act({"action": "compare", "first": keys[0], "second": keys[0]})
    assert view.status.startswith("could not compare: compare should get two entries")


def test_what_a_notebook_file_keeps_of_the_list_is_one_sentence(journal):
    data, _ = journal.view()._repr_mimebundle_()
    assert data["text/html"].startswith("<p>Journal of findings: run the notebook")
    assert "note of one" not in str(data)


@pytest.mark.browser
def test_the_last_two_are_offered_for_comparison_until_others_are_chosen(tmp_path, show):
    view = Journal(tmp_path).view(small("One?"))
    page = show(view)
    names = "nodes => nodes.map(n => n.selectedOptions[0].text)"
    for name in ("first", "second", "third"):
        page.locator(".kit-keep-name").fill(name)
        page.get_by_role("button", name="Keep this").click()
        act(page, view)
    assert page.locator(".kit-pair").evaluate_all(names) == ["2. second", "3. third"]
    page.get_by_label("Compare this finding").select_option("1. first")
    page.locator(".kit-keep-name").fill("fourth")
    page.get_by_role("button", name="Keep this").click()
    act(page, view)
    assert page.locator(".kit-pair").evaluate_all(names) == ["1. first", "4. fourth"]


@pytest.mark.browser
def test_two_are_compared_in_a_frame_that_runs_nothing(journal, show):
    view = journal.view()
    page = show(view)
    assert page.locator(".kit-pair").evaluate_all("nodes => nodes.map(n => n.selectedOptions[0].text)") == [
        "2. two",
        "3. three",
    ]
    page.get_by_label("Compare this finding").select_option("1. one")
    page.get_by_role("button", name="Compare").click()
    act(page, view)
    frame = page.locator(".kit-compared")
    assert frame.get_attribute("sandbox") == ""
    inside = frame.content_frame
    inside.get_by_text("note of one").wait_for()
    assert inside.get_by_text("note of three").count() == 1


@pytest.mark.browser
def test_the_list_is_worked_with_mouse_and_keyboard(journal, show):
    view = journal.view(small("Another?"))
    page = show(view)
    assert shown(page) == ["one", "two", "three"]
    page.get_by_role("button", name="Move up: three").click()
    act(page, view)
    assert shown(page) == ["one", "three", "two"] == list(journal.list()["name"])
    focused = "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    assert page.evaluate(focused) == "Move up: three", "the focus stays on what was pressed"
    page.keyboard.press("Enter")
    act(page, view)
    page.keyboard.press("Enter")
    act(page, view)
    assert shown(page) == ["three", "one", "two"] and page.evaluate(focused) == "Move up: three"

    page.get_by_label("Name of finding 1").fill("third")
    page.get_by_label("Note of finding 2").fill("changed")
    page.keyboard.press("Tab")
    act(page, view)
    assert journal["third"].name == "third" and journal["one"].note == "changed"

    page.get_by_role("button", name="Remove: two").click()
    act(page, view)
    assert shown(page) == ["third", "one"] and page.evaluate(focused) == "bring back"
    assert "Removed \u201ctwo\u201d" in page.locator("[role=status]").inner_text()
    page.keyboard.press("Enter")
    act(page, view)
    assert shown(page) == ["third", "one", "two"]

    page.locator(".kit-keep-name").fill("named")
    page.locator(".kit-keep textarea").fill("kept with a note")
    page.get_by_role("button", name="Keep this").click()
    act(page, view)
    assert shown(page)[-1] == "named" and journal["named"].note == "kept with a note"


@pytest.mark.browser
def test_what_is_being_typed_is_not_lost_when_another_notebook_keeps_something(journal, show):
    view = journal.view()
    page = show(view)
    page.get_by_label("Note of finding 1").press_sequentially(" and more")
    Journal(journal.path).keep(small(), name="four")
    view.act({"action": "refresh"})
    act(page, view)
    assert shown(page) == ["one", "two", "three", "four"]
    assert page.get_by_label("Note of finding 1").input_value().endswith("and more")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
def test_wcag_finds_nothing(journal, show, axe, scheme, width):
    page = show(journal.view(small(), small()), color_scheme=scheme, viewport={"width": width, "height": 800})
    if scheme == "dark":
        page.evaluate("() => { document.body.style.background = '#14171b'; document.body.style.color = '#fff' }")
    assert violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_hostile_words_are_text(tmp_path, show):
    journal = Journal(tmp_path / "hostile")
    for text in HOSTILE:
        journal.keep(small(text), name=text[:200], note=text)
    page = show(journal.view(small(HOSTILE[0])))
    assert shown(page) == list(journal.list()["name"])
    assert page.locator("img").count() == 0 and page.evaluate("window.hit") is None
