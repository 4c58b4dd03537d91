"""A question with its answers as buttons: in Python, in a real browser, and where no widget runs."""

from __future__ import annotations

import json

import pytest

from kit.panel import Guess, stylesheet
from kit.panel.assets import guess_source
from tests.browser._axe import violations
from tests.browser._offline import offline_tab
from tests.browser._paint import painted
from tests.panel._panel_cases import HOSTILE

# the functions of a widget model that the view uses; `change` is what the kernel sends
MODEL = """
const state = STATE, listeners = {};
window.made = () => state.made;
const model = { get: (name) => state[name], off: () => {}, save_changes: () => {},
  set: (name, value) => window.change({ [name]: value }), on: (name, act) => (listeners[name] ??= []).push(act) };
window.change = (changes) => {
  Object.assign(state, changes);
  for (const name of Object.keys(changes)) for (const act of listeners[`change:${name}`] ?? []) act();
};
renderGuess({ model, el: document.querySelector("main") });
"""


@pytest.fixture
def guess():
    return Guess("What does train read?", ["0", "NaN", "above 0"])


def judged(guess):
    guess.judge({"0": False, "NaN": False, "above 0": True}, "3.43 in every epoch.")
    return guess


def test_the_reply_follows_the_verdict_and_not_the_guess(guess):
    guess.made = "0"
    assert str(judged(guess)) == "You guessed \u201c0\u201d: refuted. Measured: 3.43 in every epoch."
    guess.made = "above 0"
    assert str(guess) == "You guessed \u201cabove 0\u201d: confirmed. Measured: 3.43 in every epoch."


def test_without_a_widget_the_answers_stand_there_and_their_verdicts_once_there_are_any(guess):
    before = guess.static_html()
    assert "<li>NaN</li>" in before
    assert "Measured" not in before
    after = judged(guess).static_html()
    assert "<li>NaN: refuted</li><li>above 0: confirmed</li>" in after
    assert "<p>Measured: 3.43 in every epoch.</p>" in after
    assert guess._repr_mimebundle_()[0]["text/html"] == after


@pytest.mark.parametrize("options", [[], ["one"], ["one", "one"]])
def test_fewer_than_two_answers_are_refused(options):
    with pytest.raises(ValueError, match=r"options should be two or more different answers\. Found "):
        Guess("?", options)


def test_a_verdict_on_other_answers_is_refused(guess):
    with pytest.raises(ValueError, match=r"holds should name the answers \['0', 'NaN', 'above 0'\]\. Found \['0'\]"):
        guess.judge({"0": True}, "x")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_was_typed_is_text_without_a_widget(text):
    guess = Guess(text, [text, "other"])
    guess.judge({text: True, "other": False}, text)
    assert "<script" not in guess.static_html()
    assert "<img" not in guess.static_html()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_buttons_in_a_browser(guess, browser, axe, tmp_path, scheme):
    path = tmp_path / "guess.html"
    state = {name: getattr(guess, name) for name in ("question", "options", "made", "replies")}
    module = guess_source().replace("export default { render: renderGuess };", "")
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title><style>{stylesheet()}</style>'
        f'<body><main><h1>t</h1></main><script type="module">{module}{MODEL.replace("STATE", json.dumps(state))}</script></body></html>',
        encoding="utf-8",
    )
    with offline_tab(browser, color_scheme=scheme) as tab:
        page = tab.page
        page.goto(path.as_uri())
        reply = page.locator(".kit-reply")
        assert reply.inner_text() == "Press your guess."
        page.get_by_role("button", name="NaN").press("Enter")
        assert page.evaluate("() => window.made()") == "NaN"
        assert reply.inner_text() == "You guess \u201cNaN\u201d. It is judged below."
        page.evaluate("changes => window.change(changes)", {"replies": judged(guess).replies})
        assert reply.inner_text() == "You guessed \u201cNaN\u201d: refuted. Measured: 3.43 in every epoch."
        page.get_by_role("button", name="above 0").click()
        assert "confirmed" in painted(page).locator(".kit-reply").inner_text()
        pressed = page.get_by_role("button").evaluate_all("nodes => nodes.map(n => n.getAttribute('aria-pressed'))")
        assert pressed == ["false", "false", "true"]
        assert violations(page, axe) == []
