"""The view of a live training in a browser, with a kernel made by hand: what it sends, what it shows, what it says."""

from __future__ import annotations

import json

import pytest

import kit
from kit.panel.assets import live_source, live_stylesheet, script_json
from kit.panel.data import panel_data
from tests.browser._paint import painted
from tests.panel._panel_cases import HOSTILE, NAMES, WEIGHT_NAMES, WEIGHTS, make_report

pytestmark = pytest.mark.browser

_SHIM = """
const listeners = new Map();
window.sent = [];
const model = {
  get: () => window.title_, on: (name, act) => listeners.set(name, act), off: (name) => listeners.delete(name),
  send: (content) => window.sent.push(content) };
window.title_ = %s;
window.tell = (told) => listeners.get('msg:custom')(told);
window.listening = () => listeners.size;
window.dispose = kit.render({ model, el: document.querySelector('#place') });
"""


def fragment(title="Train while you drag"):
    module = live_source().replace("export default { render: renderLive };", "const kit = { render: renderLive };")
    script = (module + _SHIM % script_json(title)).replace("</", "<\\/")
    return f'<style>{live_stylesheet()}</style><div id="place"></div><script type="module">{script}</script>'


def told(**changes):
    report = make_report(1)
    weights = dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True))
    steps = list(range(1, 41))
    return {
        "type": "all",
        "curves": {
            "batch": [steps, [4 - 0.05 * s for s in steps]],
            "train": [[10, 20, 30, 40], [3.0, 2.0, 1.5, 1.2]],
            "val": [[10, 20, 30, 40], [3.1, 2.2, None, 1.6]],
            "grad": [steps, [1.0] * 40],
            "taken": [steps, steps],
            "lr": [steps, [1e-3] * 40],
            **{f"term:{name}": [steps, [float(i + 1)] * 40] for i, name in enumerate(NAMES)},
        },
        "state": "paused",
        "status": "",
        "failed": False,
        "line": "No sign of any known cause so far.",
        "seq": 0,
        "step": 40,
        "epoch": 4,
        "planned": 100,
        "weights": weights,
        "in_force": weights,
        "active": [],
        "marks": [],
        "probe": {**panel_data(report), "step": 40},
        "rows": [{"weight": w, "term": t, "start": x} for w, t, x in zip(WEIGHT_NAMES, NAMES, WEIGHTS, strict=True)],
        "upper": 2.0,
        "offers": [
            {"key": "faulty", "title": "Faulty", "group": "Fault", "what": "it hurts", "unfit": ""},
            {"key": "well", "title": "Well", "group": "Fault", "what": "", "unfit": "nobody is"},
        ],
        **changes,
    }


@pytest.fixture
def live(visit):
    return lively(visit(fragment(), wait_for=".kit-live-state"))


@pytest.fixture
def alone(visit):
    """In a tab whose time may be stopped."""
    return lively(visit(fragment(), wait_for=".kit-live-state", own=True))


def lively(page):
    def tell(**message):
        page.evaluate("told => window.tell(told)", message)
        return painted(page)

    page.tell = tell
    page.sent = lambda: page.evaluate("() => window.sent.splice(0)")
    return page


def stopped(page):
    """The page, whose time now passes only when it is told to."""
    page.clock.install(time=0)
    page.clock.pause_at(1)
    return page


def text(page, selector):
    return page.locator(selector).first.text_content()


def test_it_asks_first_and_cannot_be_pressed_before_the_answer(live):
    assert live.sent() == [{"type": "hello"}]
    assert text(live, ".kit-live-state") == "waiting for the kernel"
    live.locator(".kit-live-go").click(force=True)  # it is marked as not enabled
    live.locator(".kit-live-reset").click(force=True)
    assert live.sent() == []
    live.tell(**told())
    assert text(live, ".kit-live-state") == "paused" and text(live, ".kit-live-where") == "epoch 4, batch 40 of 100"
    assert live.locator(".kit-live-bar").evaluate("bar => bar.value") == pytest.approx(0.4)
    for button, kind in ((".kit-live-go", "start"), (".kit-live-step", "step"), (".kit-live-reset", "reset")):
        live.locator(button).click()
        assert live.sent() == [{"type": kind}]
    live.tell(**{**told(), "type": "more", "curves": {}, "state": "running"})
    assert text(live, ".kit-live-go") == "Pause"
    live.sent()
    live.locator(".kit-live-go").click()
    assert live.sent() == [{"type": "pause"}]


def test_a_slider_acts_twice_and_says_so(live):
    live.tell(**told())
    live.sent()
    assert "At the last probed batch (40): total " in text(live, ".kit-live-now") and "as probed" in text(
        live, ".kit-live-now"
    )
    live.locator('.kit-row[data-weight="lam_cov"] input[type=range]').press("Home")
    painted(live)
    assert "\u2192" in text(live, ".kit-live-now") and "At once" in text(live, ".kit-live-now")
    assert text(live, ".kit-live-next") == "On the way to the kernel."
    (message,) = live.sent()
    assert message["weights"] == {"lam_cov": 0} and message["done"], "only what was moved is sent"
    # an older state that was on its way does not move the slider back
    live.tell(**{**told(), "type": "more", "curves": {}})
    assert live.locator('.kit-row[data-weight="lam_cov"] input.kit-box').input_value() == "0"
    now = {**told()["weights"], "lam_cov": 0.0}
    mark = {"step": 40, "kind": "weight", "name": "lam_cov", "text": "lam_cov 0.3 \u2192 0"}
    more = {
        **told(),
        "type": "more",
        "curves": {},
        "seq": message["seq"],
        "weights": now,
        "in_force": now,
        "marks": [mark],
    }
    live.tell(**more)
    assert text(live, ".kit-live-next") == "From the next batch on."
    live.tell(**{**more, "step": 42})
    assert text(live, ".kit-live-next") == "Since batch 41: 2 batches so far."
    assert text(live, ".kit-live-changes li") == "after batch 40: lam_cov 0.3 \u2192 0"
    # what the kernel refused comes back as it was
    live.locator('.kit-row[data-weight="lam_K"] input[type=range]').press("End")
    (message,) = live.sent()
    live.tell(**{**more, "seq": message["seq"], "status": "That was not done: no."})
    assert live.locator('.kit-row[data-weight="lam_K"] input.kit-box').input_value() == "0.5"
    assert text(live, ".kit-live-status") == "That was not done: no."


def test_while_dragging_a_message_at_most_every_tenth_of_a_second(alone):
    alone.tell(**told())
    alone.sent()
    stopped(alone)
    move = """value => { const slider = document.querySelector('.kit-row[data-weight="lam_cov"] input[type=range]');
      slider.value = value; slider.dispatchEvent(new Event('input')) }"""
    for i in range(60):
        alone.evaluate(move, 0.3 + i / 100)
        alone.clock.run_for(10)
    slider = alone.locator('.kit-row[data-weight="lam_cov"] input[type=range]')
    slider.evaluate("slider => slider.dispatchEvent(new Event('change'))")
    sent = alone.sent()
    assert 5 <= len(sent) <= 8, "60 moves in 0.6 seconds"
    assert [m["done"] for m in sent] == [False] * (len(sent) - 1) + [True]
    box = alone.locator('.kit-row[data-weight="lam_cov"] input.kit-box')
    alone.clock.run_for(100)  # the frame that is drawn
    assert sent[-1]["weights"] == {"lam_cov": float(box.input_value())}
    values = [message["weights"]["lam_cov"] for message in sent]
    assert values == sorted(values) and values[-1] > 3 * values[0]


def test_a_weight_that_a_fault_keeps_is_named(live):
    state = told()
    live.tell(**{**state, "in_force": {**state["weights"], "lam_cov": 0.0}, "active": ["faulty"]})
    row = live.locator('.kit-row[data-weight="lam_cov"]')
    assert row.locator(".kit-message").text_content() == "kept at 0"
    assert row.locator(".kit-message").get_attribute("title") == "a fault keeps it there"
    assert text(live, ".kit-live-count") == "on: Faulty"
    live.tell(**{**state, "type": "more", "curves": {}})
    assert row.locator(".kit-message").is_hidden() and text(live, ".kit-live-count") == "none is on"


def test_faults_are_switches_under_their_hypothesis(live):
    live.tell(**told())
    live.sent()
    live.locator("summary").focus()
    live.keyboard.press("Enter")
    assert live.locator("fieldset legend").all_text_contents() == ["Fault"]
    assert live.get_by_label("Well").is_disabled()
    live.get_by_label("Faulty").focus()
    live.keyboard.press("Space")
    assert live.sent() == [{"type": "faults", "keys": ["faulty"]}]
    live.tell(**{**told(), "type": "more", "curves": {}, "active": ["faulty"]})
    live.get_by_label("Faulty").uncheck()
    assert live.sent() == [{"type": "faults", "keys": []}]


def test_sixteen_faults_fit_in_few_lines_and_each_says_what_it_does(visit):
    kinds = [getattr(kit.faults, name) for name in kit.faults.__all__]
    known = [
        kind()
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, kit.faults.Fault) and hasattr(kind, "key")
    ]
    known.sort(key=lambda fault: [h.key for h in kit.hypotheses.ALL].index(fault.hypothesis))
    offers = [
        {"key": f.key, "title": f.title, "group": next(h.title for h in kit.hypotheses.ALL if h.key == f.hypothesis),
         "what": f.what, "unfit": "the model has no heads." if f.key == "heads_start_at_zero" else ""}
        for f in known
    ]  # fmt: skip
    page = visit(fragment(), wait_for=".kit-live-state", viewport={"width": 866, "height": 900})
    page.evaluate("told => window.tell(told)", told(offers=offers))
    page.locator("summary").click()
    painted(page)
    chips = page.locator("label.kit-live-fault")
    assert sorted(chips.all_text_contents()) == sorted(f.title for f in known)
    top, bottom = (page.locator(f".kit-live-{part}").bounding_box() for part in ("groups", "foot"))
    assert len(known) >= 16 and bottom["y"] + bottom["height"] - top["y"] <= 250
    boxes = [chips.nth(i).bounding_box() for i in range(len(known))]
    assert all(box["height"] < 30 for box in boxes), "one line each"
    what = page.locator(".kit-live-what")
    for fault in known:
        chip = page.locator("label.kit-live-fault", has_text=fault.title).first
        said = "Not possible here: the model has no heads." if fault.key == "heads_start_at_zero" else fault.what
        assert chip.get_attribute("title") == said
        if fault.key != "heads_start_at_zero":
            page.get_by_label(fault.title, exact=True).focus()
            assert what.text_content() == said
    chips.nth(0).hover()
    assert what.text_content() == chips.nth(0).get_attribute("title")


def test_the_curves_are_drawn_and_read_at_any_batch(live):
    live.tell(**told())
    drawn = """canvas => { const { width, height } = canvas;
      return canvas.getContext('2d').getImageData(0, 0, width, height).data.some(x => x !== 0) }"""
    charts = live.locator("canvas.kit-live-canvas")
    assert [charts.nth(i).evaluate(drawn) for i in (0, 1, 3, 4, 5)] == [True] * 5
    assert charts.nth(2).is_hidden(), "nothing was measured of it"
    assert "After 40 batches: train 1.200, validation 1.600" in charts.nth(0).get_attribute("aria-label")
    values = live.locator(".kit-live-chart").first.locator(".kit-live-value")
    assert values.all_text_contents() == ["1.200", "1.600", "2"]
    reader = live.get_by_label("Read the curves at batch")
    reader.focus()
    reader.press("Home")
    for _ in range(31):
        reader.press("ArrowRight")
    painted(live)
    assert text(live, ".kit-live-at") == "31" and values.all_text_contents() == ["1.500", "not finite", "2.450"]
    reader.press("End")
    painted(live)
    assert text(live, ".kit-live-at") == "newest"
    live.tell(**{**told(), "type": "more", "curves": {"train": [[50], [0.9]]}, "step": 50})
    assert values.first.text_content() == "0.9000"


def test_an_error_is_an_alarm_and_the_diagnosis_is_spoken_politely(alone):
    stopped(alone)
    failed = {**told(), "status": "Stopped before batch 41: ValueError: no.", "failed": True}
    alone.evaluate("told => window.tell(told)", failed)
    alone.clock.run_for(100)
    assert "kit-alarm" in alone.locator(".kit-live-status").get_attribute("class")
    aloud = alone.locator('.kit-live [aria-live="polite"]')
    assert aloud.text_content() == "", "not at once"
    for number in range(5):
        alone.evaluate("told => window.tell(told)", {**told(), "type": "more", "curves": {}, "line": f"line {number}"})
        alone.clock.run_for(500)
    assert text(alone, ".kit-live-line") == "line 4" and aloud.text_content() == ""
    alone.clock.run_for(4000)
    assert aloud.text_content() == "line 4", "the newest, once"


def test_a_view_shows_that_it_is_there_while_it_trains(live):
    live.tell(**told())
    live.sent()
    live.tell(**{**told(), "type": "more", "curves": {}, "state": "running"})
    live.tell(**{**told(), "type": "more", "curves": {}, "state": "running"})
    assert live.sent() == [{"type": "ack"}], "now and then, not at every message"


def test_hostile_names_stay_text(visit):
    page = visit(fragment(HOSTILE[0]), wait_for=".kit-live-state")
    offers = [{"key": n, "title": n, "group": n, "what": n, "unfit": ""} for n in HOSTILE]
    rows = [{"weight": n, "term": n, "start": 1.0} for n in HOSTILE]
    weights = dict.fromkeys(HOSTILE, 1.0)
    curves = {f"term:{n}": [[1, 2], [1.0, 2.0]] for n in HOSTILE}
    marks = [{"step": 1, "kind": "fault", "name": n, "text": n} for n in HOSTILE]
    message = told(
        rows=rows, offers=offers, weights=weights, in_force=weights, curves=curves, marks=marks, status=HOSTILE[0],
        line=HOSTILE[1], probe={**panel_data(make_report(0, names=HOSTILE, weight_names=HOSTILE)), "step": 1},
    )  # fmt: skip
    page.evaluate("told => window.tell(JSON.parse(told))", json.dumps(message))
    painted(page)
    assert page.evaluate("() => window.hit") is None
    assert page.locator(".kit-title").text_content() == HOSTILE[0]
    names = page.locator(".kit-live-chart").nth(1).locator(".kit-live-name").all_text_contents()
    assert names == list(HOSTILE)
    assert page.locator(".kit-live-changes li").count() == len(HOSTILE)
    assert page.locator(".kit-live script, .kit-live img").count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"


@pytest.mark.parametrize("width", [360, 700, 1300])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_in_any_width_and_theme(visit, width, scheme):
    page = visit(fragment(), wait_for=".kit-live-state", viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.evaluate("told => window.tell(told)", told(active=["faulty"], status="A sentence.", line="A line. " * 30))
    page.locator("summary").click()
    painted(page)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    small = page.locator(".kit-live :is(button, select, summary, input[type=range])").evaluate_all(
        "nodes => nodes.filter(n => n.getBoundingClientRect().height < 24).map(n => n.outerHTML)"
    )
    assert small == [], "a target is at least 24 pixels high"


def test_where_less_motion_is_asked_for_the_curves_move_seldom(visit):
    page = visit(fragment(), wait_for=".kit-live-state", reduced_motion="reduce", own=True)
    stopped(page)
    page.evaluate("told => window.tell(told)", told(state="running"))
    label = "() => document.querySelector('canvas.kit-live-canvas').getAttribute('aria-label')"
    page.clock.run_for(1100)
    first = page.evaluate(label)
    assert "After 40 batches" in first
    page.evaluate("told => window.tell(told)", {**told(state="running"), "type": "more", "curves": {}, "step": 45})
    page.clock.run_for(300)
    assert page.evaluate(label) == first
    page.clock.run_for(1000)
    assert "After 45 batches" in page.evaluate(label)


def test_a_view_that_is_closed_leaves_nothing(live):
    live.tell(**told())
    assert live.evaluate("() => window.listening()") == 1
    live.evaluate("() => window.dispose()")
    assert live.evaluate("() => window.listening()") == 0 and live.locator(".kit-live").count() == 0
