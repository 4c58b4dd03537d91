"""`LivePanel` without a browser: what it tells its views, when it rests, and that nothing is left running."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import math
import signal
import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from kit.hypotheses.likelihoods import Likelihoods
from kit.live import SystemSession, event_loop, training
from kit.live.probe_points import probe_points
from kit.live.session import FaultOffer, StepResult
from kit.live.widget import LivePanel
from kit.plots import Evidence
from tests.live import _clock
from tests.live._clock import Clock
from tests.panel._panel_cases import HOSTILE, NAMES, WEIGHT_NAMES, WEIGHTS, make_report
from tests.training._runs import small_system


@pytest.fixture(autouse=True)
def _a_thread_without_a_loop():
    """The browser of other tests keeps a loop running in this thread, and a kernel would bring its own."""
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(running)


class Toy:
    """A session without a network: the loss is the step's number, and the third batch may fail."""

    title = "Toy"
    terms: Mapping[str, str] = {"lam_a": "a", "lam_b": "b"}
    faults = (FaultOffer("faulty", "Faulty", "Fault", "it hurts"), FaultOffer("off", "Off", "Fault", unfit="no"))

    def __init__(self, planned=None, fails_at=None):
        self.planned, self.fails_at = planned, fails_at
        self.reset()

    @property
    def finished(self):
        return self.planned is not None and self.step >= self.planned

    @property
    def active(self):
        return self.on

    def advance(self):
        if self.fails_at == self.step + 1:
            raise ZeroDivisionError("one over none.\nsecond line")
        self.step += 1
        return StepResult(
            self.step,
            1 + self.step // 10,
            loss=float(self.step),
            terms={"a": 1.0, "b": math.nan},
            steps_taken=self.step,
        )

    def set_weights(self, weights):
        if any(value < 0 for value in weights.values()):
            raise ValueError("weights should be >= 0. Found one below.")
        self.asked = {**self.asked, **weights}
        self.weights = {**self.weights, **weights}

    def set_faults(self, keys):
        if "off" in keys:
            raise ValueError("it does not fit")
        self.on = tuple(keys)

    def look(self):
        return None

    def diagnosis(self):
        return f"seen {self.step}"

    def reset(self):
        self.step, self.on, self.asked = 0, (), {}
        self.weights = {"lam_a": 0.5, "lam_b": 1.0}


CLOCK = Clock()  # of every panel here, and of the loop it trains on


class Told(LivePanel):
    """A panel whose messages are kept, as JSON would carry them."""

    clock = staticmethod(CLOCK)

    def __init__(self, session, **options):
        self.told = []
        super().__init__(session, **options)

    def send(self, message, buffers=None):
        self.told.append(json.loads(json.dumps(message, allow_nan=False)))

    def click(self, kind, **more):
        self._receive(self, {"type": kind, **more}, [])

    @property
    def last(self):
        return self.told[-1]


@pytest.fixture(autouse=True)
def _alone():
    """Every test leaves no thread, and the handler of interrupts as it was."""
    threads, handler = threading.enumerate(), signal.getsignal(signal.SIGINT)
    yield
    assert threading.enumerate() == threads
    assert signal.getsignal(signal.SIGINT) is handler


def lived(life):
    return _clock.lived(life, CLOCK)


def until(true):
    return _clock.until(true, CLOCK)


def in_another_thread(act, *arguments):
    """Done when this returns; what it left to the loop is not."""
    thread = threading.Thread(target=act, args=arguments)
    thread.start()
    thread.join()


def pending():
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_start_pause_and_start_again_lose_nothing():
    async def sit():
        panel = Told(Toy())
        panel.click("start")
        assert panel.state == "running"
        await until(lambda: panel.session.step > 20)
        panel.click("start")
        panel.click("pause")
        at = panel.session.step
        assert panel.state == "paused" and panel.line == f"seen {at}"
        await asyncio.sleep(1.0)
        assert panel.session.step == at, "nothing runs while it is paused"
        panel.click("pause")
        panel.click("start")
        await until(lambda: panel.session.step > at)
        panel.pause()
        assert pending() == []
        return panel

    panel = lived(sit())
    points = [[], []]
    for told in panel.told:
        for have, new in zip(points, told["curves"].get("batch", [[], [], []])[:2], strict=True):
            have += new
    assert points[0] == list(range(1, panel.session.step + 1)), "every batch was told, once, in order"
    assert points[1] == [float(step) for step in points[0]]


def test_a_second_start_does_not_train_twice_as_fast():
    async def sit():
        panel = Told(Toy())
        for _ in range(5):
            panel.start()
        handle = panel._slices._handle
        panel.start()
        assert panel._slices._handle is handle
        panel.pause()

    lived(sit())


def test_live_is_the_plain_run_bit_by_bit():
    system = small_system()

    async def sit():
        panel = Told(SystemSession(system, probe_every=2, likelihoods=Likelihoods(MappingProxyType({}))))
        panel.click("hello")
        panel.click("start")
        await until(lambda: panel.session.step >= 2)
        panel.click("pause")
        panel.click("step")
        panel.click("start")
        await until(lambda: panel.state == "finished")
        return panel

    panel = lived(sit())
    plain = system.run()
    assert panel.session.history().epoch_records == plain.epoch_records
    assert panel.session.history().step_records == plain.step_records
    assert panel.curves.curves["train"].values == plain.train_loss
    assert panel.last["state"] == "finished" and "over" in panel.last["status"]


def test_the_loop_is_not_blocked_and_a_finished_run_stays_finished():
    async def sit():
        panel = Told(Toy(planned=4_000))
        panel.start()
        beats = 0
        while panel.state == "running":
            await asyncio.sleep(_clock.LOOK)
            beats += 1
        assert beats > 100
        panel.click("start")
        panel.click("step")
        assert panel.session.step == 4_000 and panel.state == "finished" and pending() == []
        panel.click("reset")
        assert panel.state == "ready" and panel.session.step == 0 and panel.last["type"] == "all"
        assert panel.last["curves"] == {} and panel.last["marks"] == []

    lived(sit())


def test_without_an_event_loop_it_says_what_to_do():
    panel = Told(Toy(planned=4))
    with pytest.raises(RuntimeError, match=r"Found none; call .steps\(n\)"):
        panel.start()
    panel.steps(3)
    assert panel.session.step == 3 and panel.state == "paused"
    panel.steps(3)
    assert panel.session.step == 4 and panel.state == "finished"


def test_an_error_is_one_sentence_and_pauses_and_can_be_tried_again():
    async def sit():
        panel = Told(Toy(fails_at=3))
        panel.start()
        await until(lambda: panel.state == "paused")
        assert panel.last["status"] == "Stopped before batch 3: ZeroDivisionError: one over none."
        assert panel.last["failed"] and isinstance(panel.error, ZeroDivisionError)
        assert panel.session.step == 2 and panel.curves.curves["batch"].steps == [1, 2]
        panel.click("step")
        assert panel.last["failed"]
        panel.session.fails_at = None
        panel.click("step")
        assert panel.error is None and not panel.last["failed"] and panel.session.step == 3

    lived(sit())


def test_what_a_view_gets_first_is_enough_to_draw_everything():
    panel = Told(Toy(planned=40), upper=1.5)
    panel.steps(4)
    panel.click("weights", weights={"lam_a": 0.25}, done=True, seq="v:1")
    panel.told.clear()
    panel.click("hello")
    (told,) = panel.told
    assert told["type"] == "all" and told["step"] == 4 and told["planned"] == 40 and told["upper"] == 1.5
    assert told["rows"] == [
        {"weight": "lam_a", "term": "a", "start": 0.5},
        {"weight": "lam_b", "term": "b", "start": 1.0},
    ]
    assert [offer["key"] for offer in told["offers"]] == ["faulty", "off"] and told["offers"][1]["unfit"] == "no"
    assert told["curves"]["batch"] == [[1, 2, 3, 4], [1, 2, 3, 4], [0, 0, 0, 0]]
    assert told["curves"]["term:b"][1] == [None] * 4, "a number that is not finite is a gap"
    assert told["weights"] == {"lam_a": 0.25, "lam_b": 1.0} and told["seq"] == "v:1" and told["probe"] is None
    assert [mark["text"] for mark in told["marks"]] == ["lam_a 0.5 \u2192 0.25"]


def test_a_drag_is_one_mark_and_acts_while_it_lasts():
    panel = Told(Toy())
    for value in (0.4, 0.2, 0.1):
        panel.steps(2)
        panel.click("weights", weights={"lam_a": value}, done=False)
        assert panel.session.weights["lam_a"] == value
    panel.click("weights", weights={"lam_a": 0.0}, done=True)
    panel.steps(1)
    panel.click("weights", weights={"lam_a": 0.3}, done=True)
    assert [(m.step, m.text) for m in panel.curves.marks] == [(2, "lam_a 0.5 \u2192 0"), (7, "lam_a 0 \u2192 0.3")]
    panel.weights = {"lam_a": 0.0, "lam_b": 0.0}
    assert panel.curves.marks[-1].text == "lam_a 0.3 \u2192 0, lam_b 1 \u2192 0"
    panel.weights = dict(panel.weights)
    assert len(panel.curves.marks) == 3, "what is set to what it is makes no mark"


def test_a_fault_is_marked_when_it_comes_and_when_it_goes():
    panel = Told(Toy())
    panel.steps(2)
    panel.click("faults", keys=["faulty"])
    assert panel.last["active"] == ["faulty"] and panel.faults == ("faulty",)
    panel.steps(1)
    panel.faults = ()
    assert [(m.step, m.text) for m in panel.curves.marks] == [(2, "fault: Faulty"), (3, "fault removed: Faulty")]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"type": "weights", "weights": {"lam_a": -1.0}, "seq": "v:9"}, "weights should be >= 0"),
        ({"type": "weights", "weights": 3}, "not done"),
        ({"type": "faults", "keys": ["off"]}, "it does not fit"),
    ],
)
def test_what_is_refused_is_said_and_nothing_stops(message, said):
    panel = Told(Toy())
    panel._receive(panel, message, [])
    assert said in panel.last["status"] and panel.last["weights"] == {"lam_a": 0.5, "lam_b": 1.0}
    assert panel.seq == message.get("seq", 0), "the view learns that its setting was dealt with"
    panel.steps(1)
    assert panel.session.step == 1


@pytest.mark.parametrize("content", [None, "hello", {"type": "no such thing"}, {}])
def test_a_message_that_says_nothing_does_nothing(content):
    panel = Told(Toy())
    panel._receive(panel, content, [])
    assert panel.told == []


def test_a_cell_that_is_run_again_stops_the_old_training():
    async def sit():
        old = Told(Toy())
        old.start()
        await until(lambda: old.session.step > 0)
        new = Told(Toy())
        assert old.state == "paused" and "newer panel" in old.last["status"] and new.state == "ready"
        at = old.session.step
        new.start()
        await until(lambda: new.session.step > 5)
        assert old.session.step == at
        new.pause()
        old.start()
        await until(lambda: old.session.step > at)
        old.pause()
        assert pending() == []

    lived(sit())


def test_a_session_belongs_to_its_newest_panel():
    session = Toy()
    old = Told(session)
    old.steps(2)
    new = Told(session)
    assert old.last["state"] == "retired"
    for act in ("step", "weights", "faults", "reset"):
        old.click(act, weights={"lam_a": 0.0}, keys=["faulty"])
    assert session.step == 2 and session.weights["lam_a"] == 0.5 and session.active == ()
    new.steps(1)
    assert session.step == 3


def test_a_panel_that_nobody_holds_stops_by_itself():
    async def sit():
        panel = Told(Toy())
        session, gone = panel.session, weakref.ref(panel)
        panel.start()
        await until(lambda: session.step > 0)
        panel.close()
        at = session.step
        await asyncio.sleep(1.0)
        assert session.step == at
        del panel
        gc.collect()
        assert gone() is None and pending() == []

    lived(sit())


def test_slices_hold_their_owner_weakly():
    class Owner:
        def __init__(self, counts):
            self.counts = counts
            self.slices = event_loop.Slices(self.tick, self.stopped)

        def tick(self):
            self.counts.append(1)
            return 0.0

        def stopped(self):
            raise AssertionError("nobody interrupted")

    async def sit():
        counts = []
        owner = Owner(counts)
        owner.slices.start(asyncio.get_running_loop())
        await until(lambda: len(counts) > 3)
        del owner
        gc.collect()
        at = len(counts)
        await asyncio.sleep(1.0)
        assert len(counts) == at

    lived(sit())


def test_the_time_of_the_batches_counts_as_silence(monkeypatch):
    monkeypatch.setattr(training, "UNHEARD", 0.3)

    async def sit():
        panel = Told(Toy())
        real = panel.session.advance

        def advance():
            CLOCK.now += 0.035  # longer than a slice: ten of them are the silence that is allowed
            return real()

        panel.session.advance = advance
        panel.start()
        await until(lambda: panel.state == "paused")
        assert panel.session.step < 20

    lived(sit())


def test_it_pauses_when_no_view_is_heard_of(monkeypatch):
    monkeypatch.setattr(training, "UNHEARD", 0.2)

    async def sit():
        panel = Told(Toy())
        began = CLOCK.now
        panel.start()
        for _ in range(30):
            panel.click("ack")
            step = panel.session.step
            await until(lambda step=step: panel.session.step > step)
        assert panel.state == "running" and CLOCK.now - began > 0.3, "longer than the silence that is borne"
        await until(lambda: panel.state == "paused")
        assert "no view" in panel.last["status"]

    lived(sit())


def test_an_interrupt_between_cells_pauses_after_the_batch_in_hand():
    async def sit():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as ipykernel has it between two cells
        try:
            panel = Told(Toy())
            panel.start()
            await until(lambda: panel.session.step > 0)
            signal.raise_signal(signal.SIGINT)
            await until(lambda: panel.state == "paused")
            assert "interrupted" in panel.last["status"] and panel.error is None
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            panel.start()
            await until(lambda: panel.state == "running" and panel.session.step > 10)
            panel.pause()
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, before)

    lived(sit())


def test_an_interrupt_reaches_the_panel_that_runs_now():
    """A cell that was run again has stopped the old one, whose handler Jupyter puts back after the cell."""

    async def sit():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            old = Told(Toy())
            old.start()
            await until(lambda: old.session.step > 0)
            kept = signal.signal(signal.SIGINT, signal.default_int_handler)  # the cell begins
            old.pause()
            panel = Told(Toy())
            signal.signal(signal.SIGINT, kept)  # and has ended
            panel.start()
            await until(lambda: panel.session.step > 0)
            signal.raise_signal(signal.SIGINT)
            await until(lambda: panel.state == "paused")
            assert "interrupted" in panel.last["status"] and old.session.step > 0
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)

    lived(sit())


def test_an_interrupt_inside_a_batch_pauses_too():
    async def sit():
        panel = Told(Toy())
        real = panel.session.advance

        def advance():
            if panel.session.step == 3:
                panel.session.advance = real
                raise KeyboardInterrupt
            return real()

        panel.session.advance = advance
        panel.start()
        await until(lambda: panel.state == "paused")
        assert panel.session.step == 3 and "interrupted" in panel.last["status"]
        panel.click("step")
        assert panel.session.step == 4

    lived(sit())


def test_messages_from_another_thread_are_dealt_with_at_home():
    async def sit():
        panel = Told(Toy())
        places = []
        real = panel.session.advance
        panel.session.advance = lambda: places.append(threading.get_ident()) or real()
        in_another_thread(panel.click, "step")
        in_another_thread(panel.click, "start")
        await until(lambda: panel.session.step > 20)
        in_another_thread(panel.click, "pause")
        await until(lambda: panel.state == "paused")
        assert set(places) == {threading.get_ident()}

    lived(sit())


def test_a_probed_step_becomes_points_and_what_if():
    panel = Told(Toy())
    report = make_report(1)
    panel.session.look = lambda: report
    panel.steps(2)
    probe = panel.last["probe"]
    assert probe["step"] == 2 and probe["names"] == list(report.names)
    w = report.weights
    assert panel.curves.curves["grad:loss_K"].values == [pytest.approx(w[3] * math.sqrt(report.G[3, 3]))]
    G = report.G_groups[0]
    assert panel.curves.curves["group:backbone"].values == [pytest.approx(math.sqrt(w @ G @ w))]
    panel.steps(1)
    assert "probe" not in panel.last, "the same report is told once"


class Probed(Toy):
    """A toy whose probe is of the weights in force; `looks` counts the probes, each of a network of its own."""

    terms: Mapping[str, str] = dict(zip(WEIGHT_NAMES, NAMES, strict=True))

    def reset(self):
        super().reset()
        self.looks, self._seen = 0, None
        self.weights = dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True))

    def advance(self):
        turn = super().advance()
        self._seen = None
        return replace(turn, probed=self.look() if self.step % 20 == 0 else None)

    def set_weights(self, weights):
        super().set_weights(weights)
        self._seen = None

    def set_faults(self, keys):
        super().set_faults(keys)
        self._seen = None

    def look(self):
        if self._seen is None:
            self.looks += 1
            self._seen = make_report(self.step, weights=tuple(self.weights.values()))
        return self._seen


def gradient(panel, term):
    curve = panel.curves.curves[f"grad:{term}"]
    return list(zip(curve.steps, curve.values, curve.parts, strict=True))


def norm(step, term):
    report = make_report(step)
    i = list(report.names).index(term)
    return math.sqrt(report.G[i, i])


def test_a_weight_set_to_0_at_batch_20_pulls_nothing_from_batch_21_on():
    session = Probed()
    panel = Told(session)
    panel.click("hello")
    panel.steps(20)
    looks = session.looks
    w = session.weights["lam_aux"]
    panel.weights = {"lam_aux": 0.0}
    panel.steps(20)
    points = gradient(panel, "aux_l2")
    assert points[1:] == [
        (20, pytest.approx(w * norm(20, "aux_l2")), 0), (20, 0.0, 1), (40, 0.0, 1)
    ]  # fmt: skip
    assert session.looks == looks + 1, "the network of batch 20 was probed already: its other side is algebra"
    # the other terms go on, and in the groups both sides are those of the same network
    assert [v for s, v, _ in gradient(panel, "loss_K") if s == 20] == [
        pytest.approx(session.weights["lam_K"] * norm(20, "loss_K"))
    ] * 2
    group = panel.curves.curves["group:backbone"]
    sides = [value for step, value in zip(group.steps, group.values, strict=True) if step == 20]
    after = np.array(list(session.weights.values()))
    before = np.where(np.array(WEIGHT_NAMES) == "lam_aux", w, after)
    G = make_report(20).G_groups[0]
    assert sides == [pytest.approx(math.sqrt(x @ G @ x)) for x in (before, after)]


def test_a_change_between_two_probes_is_probed_where_it_happens():
    session = Probed()
    panel = Told(session)
    panel.click("hello")
    for _ in range(27):
        panel._one()
    w = session.weights["lam_aux"]
    panel.click("weights", weights={"lam_aux": 0.25}, done=True)
    looks = session.looks
    panel._one()
    assert session.looks == looks + 1
    at = [(s, v, part) for s, v, part in gradient(panel, "aux_l2") if s == 27]
    assert at == [(27, pytest.approx(w * norm(27, "aux_l2")), 0), (27, pytest.approx(0.25 * norm(27, "aux_l2")), 1)]
    panel._one()
    assert session.looks == looks + 1, "once for one change"


def test_while_a_slider_is_dragged_nothing_is_probed_and_no_line_leads_across():
    session = Probed()
    panel = Told(session)
    panel.click("hello")
    for _ in range(5):
        panel._one()
    looks = session.looks
    for value in (0.8, 0.6, 0.4):
        panel.click("weights", weights={"lam_aux": value}, done=False)
        panel._one()
    assert session.looks == looks
    panel.click("weights", weights={"lam_aux": 0.4}, done=True)  # the finger leaves where it was
    panel._one()
    assert session.looks == looks + 1
    curve = panel.curves.curves["grad:aux_l2"]
    assert curve.steps == [0, 8] and curve.parts == [0, 3] and not curve.joined(1)
    assert curve.last == pytest.approx(0.4 * norm(8, "aux_l2"))
    batches = panel.curves.curves["batch"]
    assert all(batches.joined(i) for i in range(1, len(batches.steps))), "what is measured in every batch is one line"


def test_a_fault_breaks_the_curves_and_is_probed_at_once():
    session = Probed()
    panel = Told(session)
    panel.click("hello")
    for _ in range(7):
        panel._one()
    panel.click("weights", weights={"lam_aux": 0.0}, done=True)
    panel.faults = ["faulty"]
    curve = panel.curves.curves["grad:aux_l2"]
    assert curve.steps == [0, 7] and curve.parts == [0, 2], "the fault hides what the weight alone would have done"
    looks = session.looks
    panel._one()
    panel.faults = ["faulty"]
    assert panel.curves.part == 2, "what is on already is no change"
    assert session.looks == looks + 1, "and the probe of batch 7 was not taken twice"


def test_dear_probes_of_changes_take_a_third_of_the_time_at_most():
    session = Probed()
    panel = Told(session)
    clock = SimpleNamespace(now=0.0)
    panel.clock = lambda: clock.now
    real = session.look

    def look():
        if session._seen is None:
            clock.now += 3.0
        return real()

    session.look = look
    panel.click("hello")
    for _ in range(4):
        panel._one()
        clock.now += 10.0
    times = []
    for i in range(60):  # a key is held down
        panel.click("weights", weights={"lam_aux": 0.01 * (i + 1)}, done=True)
        looks = session.looks
        panel._one()
        if session.looks > looks and session.step % 20:
            times.append(clock.now)
        clock.now += 0.1
    assert len(times) >= 2 and min(b - a for a, b in itertools.pairwise(times)) >= 9.0 - 1e-9
    clock.now += 10.0
    panel._one()
    assert panel.curves.curves["grad:aux_l2"].last == pytest.approx(0.6 * norm(session.step - 1, "aux_l2"))


@pytest.mark.parametrize("value", [math.nan, -1.0])
def test_weights_that_cannot_be_asked_about_give_no_point(value):
    report = make_report(0)
    assert list(probe_points(report, {"lam_aux": value})) == []
    names = [name for name, _ in probe_points(report, {"lam_aux": 0.0, "of another loss": 1.0})]
    assert names == [*(f"grad:{term}" for term in report.names), *(f"group:{group}" for group in report.groups)]


def test_a_probe_that_fails_at_a_change_stops_the_batch_and_says_so():
    session = Probed()
    panel = Told(session)
    panel._one()

    def broken():
        session.look = lambda: None
        raise TypeError("no probe today")

    panel.click("weights", weights={"lam_aux": 0.0}, done=True)
    session.look = broken
    panel._one()
    assert panel.last["failed"] and panel.last["status"] == "Stopped before batch 2: TypeError: no probe today."


def test_no_curve_is_stored_in_the_notebook():
    panel = LivePanel(Toy())
    before = json.dumps(
        panel.get_state(key=[k for k in panel.keys if k not in ("_esm", "_css", "layout")]), default=str
    )
    panel.steps(500)
    after = json.dumps(panel.get_state(key=[k for k in panel.keys if k not in ("_esm", "_css", "layout")]), default=str)
    assert after == before
    bundle, _ = panel._repr_mimebundle_()
    assert len(bundle["text/html"]) < 200 and "application/vnd.jupyter.widget-view+json" in bundle
    panel.close()


def test_evidence_is_a_figure_with_words_and_numbers():
    panel = Told(Toy())
    panel.steps(5)
    panel.weights = {"lam_a": 0.0}
    panel.faults = ["faulty"]
    panel.steps(5)
    seen = panel.evidence()
    assert isinstance(seen, Evidence) and seen.png.startswith(b"\x89PNG")
    assert "1. after batch 5: lam_a 0.5 \u2192 0; 2. after batch 5: fault: Faulty" in seen.alt
    assert "loss of a batch from 1 to 10" in seen.alt.lower() and "seen 10" in seen.caption
    assert seen.numbers["batch"] == list(range(1, 11))
    assert seen.numbers["loss of the batch"] == [float(i) for i in range(1, 11)]
    assert seen.numbers["term:b"] == [None] * 10
    assert "Toy" in seen._repr_html_()


def test_evidence_of_nothing_and_of_very_much():
    panel = Told(Toy())
    assert "nothing was trained" in panel.evidence().alt
    panel.steps(20_000)
    seen = panel.evidence()
    assert len(seen.numbers["batch"]) <= 2 * 400 + 1 and seen.numbers["batch"][-1] == 20_000
    assert len(seen.png) < 150_000


def test_hostile_names_stay_text():
    class Hostile(Toy):
        title = HOSTILE[0]
        terms: Mapping[str, str] = {name: name for name in HOSTILE}
        faults = tuple(FaultOffer(f"{i}", name, name, name) for i, name in enumerate(HOSTILE))

        def reset(self):
            super().reset()
            self.weights = dict.fromkeys(HOSTILE, 1.0)

        def advance(self):
            self.step += 1
            return StepResult(self.step, 1, loss=1.0, terms={**dict.fromkeys(HOSTILE, 1.0), "$x_{": 2.0})

    panel = Told(Hostile())
    panel.weights = dict.fromkeys(HOSTILE, 0.0)
    panel.steps(2)
    html = panel.evidence()._repr_html_()
    assert "<script" not in html and "<img src=x" not in html
    assert panel.curves.marks[0].text.endswith("and 4 more")


def test_what_is_no_session_is_refused():
    with pytest.raises(TypeError, match="Found a dict"):
        LivePanel({})
