"""A panel over the probed steps of a run: in force what was in force, re-weighted what a re-weighted total would have been."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kit import Finding
from kit.panel import Panel, panel_data, standalone_panel
from kit.recording import watch
from tests.browser._offline import opened_offline
from tests.browser._paint import painted


def batch(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(8, 4, generator=generator).double(), torch.randn(8, 3, generator=generator).double()


def parts(model, step):
    x, y = batch(step)
    out = model(x)
    return F.mse_loss(out, y), out.square().mean(), out.abs().mean()


def trained(steps=7, probe_every=2):
    """`beta` grows, and from step 5 on there is a third term. -> trace, the weights that each step began with."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    optimizer, states = torch.optim.SGD(model.parameters(), lr=0.1), []
    with watch(model, probe_every=probe_every) as run:
        for step in range(steps):
            states.append({name: value.clone() for name, value in model.state_dict().items()})
            beta = step / 4
            rec, kl, size = parts(model, step)
            if step < 4:
                loss = rec + beta * kl
            else:
                loss = rec + beta * kl + 0.1 * size
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return run.trace, states


RUN, STATES = trained()
PANEL = Panel(RUN)
IN_FORCE = {"step 1": (1, 0.0, 0.0), "step 3": (1, 0.5, 0.0), "step 5": (1, 1.0, 0.1), "step 7": (1, 1.5, 0.1)}


def by_hand(step, weights):
    """Total and norm of its gradient in that step, with these weights."""
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    model.load_state_dict(STATES[step - 1])
    total = sum(w * part for w, part in zip(weights, parts(model, step - 1), strict=True))
    total.backward()
    return total.item(), math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters()))


def test_its_states_are_the_probed_steps_with_the_weights_in_force():
    assert [case["title"] for case in PANEL.data["cases"]] == list(IN_FORCE)
    assert PANEL.data["names"] == ["rec", "kl", "size"] and PANEL.data["weight_names"] == ["rec", "beta", "size"]
    panel = Panel(RUN)
    for title, weights in IN_FORCE.items():
        panel.case = title
        assert list(panel.weights.values()) == pytest.approx(weights), "as probed it stays as probed"
    panel.weights = {"beta": 0.25}
    panel.case = "step 3"
    assert panel.weights["beta"] == 0.25, "a setting made by hand is kept"


def test_a_term_that_was_not_there_has_no_value_and_says_so():
    first, last = PANEL.data["cases"][0], PANEL.data["cases"][-1]
    assert first["L"][2] is None and first["weights"][2] == 0 and first["G"][2] == [None] * 3
    assert first["note"] == "Not in the sum of this step: size." and not last["note"]
    assert None not in last["L"]


@pytest.mark.parametrize(("step", "weights"), [(1, (2.0, 0.7, 0.0)), (3, (0.0, 1.0, 0.0)), (7, (0.3, 1.9, 1.1))])
def test_a_setting_is_what_a_total_with_these_weights_would_have_been(step, weights):
    case = next(case for case in PANEL.data["cases"] if case["title"] == f"step {step}")
    w, on = np.array(weights), np.array(weights) != 0
    L, G = np.array(case["L"], float), np.array(case["G"], float)
    total, norm = by_hand(step, weights)
    assert w[on] @ L[on] == pytest.approx(total, rel=1e-9)
    assert math.sqrt(w[on] @ G[np.ix_(on, on)] @ w[on]) == pytest.approx(norm, rel=1e-9)


def test_it_is_live_again_from_its_record():
    panel = Panel(RUN)
    panel.case, panel.weights = "step 5", {"size": 0.4}
    again = Panel.from_record(panel.to_record())
    assert again.to_record() == panel.to_record() and again.data == panel_data(RUN)


def test_a_trace_without_probes_says_what_to_do():
    with watch() as run:
        pass
    with pytest.raises(ValueError, match=r"a trace with probed steps. Found .*kit.watch\(..., probe_every=50\)"):
        Panel(run.trace)
    with watch(probe_every=1) as run, torch.autograd.set_detect_anomaly(True, check_nan=False):
        model = nn.Linear(4, 3).double()
        (parts(model, 0)[0] + parts(model, 0)[1]).backward()
    with pytest.raises(
        ValueError, match="Found a trace without one: Step 1 was not probed: autograd's anomaly mode is on"
    ):
        Panel(run.trace)


def unfold(page):
    page.evaluate("() => document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    page.wait_for_selector(".kit-total")


def shown(page):
    return [float(box.input_value()) for box in page.locator(".kit-row input.kit-box").all()]


def expect(page, step, weights):
    total, _ = by_hand(step, weights)
    wanted = f"total = {total:#.4g}"
    page.wait_for_function("wanted => document.querySelector('.kit-total').textContent === wanted", arg=wanted)
    assert shown(page) == pytest.approx(list(weights))


@pytest.mark.browser
def test_the_slider_goes_over_the_steps_by_keys_and_by_mouse(browser, tmp_path):
    with opened_offline(browser, PANEL.write(tmp_path / "run.html")) as page:
        page.wait_for_selector(".kit-total")
        slider = page.get_by_label("Step", exact=True)
        assert page.locator("select.kit-case").count() == 0
        expect(page, 1, IN_FORCE["step 1"])
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(page, 3, IN_FORCE["step 3"])
        assert slider.get_attribute("aria-valuetext") == "step 3"
        page.keyboard.press("End")
        expect(page, 7, IN_FORCE["step 7"])
        assert page.locator(".kit-step-shown").inner_text() == "7"
        box = slider.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
        expect(page, 3, IN_FORCE["step 3"])
        assert page.locator(".kit-case-note").inner_text() == "Not in the sum of this step: size."
        page.locator('.kit-row[data-weight="beta"] input.kit-box').fill("0.25")
        slider.focus()
        page.keyboard.press("End")
        expect(page, 7, (1.0, 0.25, 0.0))
        page.click("button.kit-reset")
        expect(page, 1, IN_FORCE["step 1"])
        assert slider.input_value() == "0"


@pytest.mark.browser
def test_on_the_page_of_a_finding_it_goes_over_the_steps_as_well(browser, tmp_path):
    panel = Panel(RUN)
    panel.case = "step 5"
    finding = Finding("When does it begin?", "beta grows.", "confirmed", "From 0 to 1.5.", evidence=[panel])
    finding.write(tmp_path / "finding.html")
    with opened_offline(browser, tmp_path / "finding.html") as page:
        unfold(page)
        expect(page, 5, IN_FORCE["step 5"])
        page.get_by_label("Step", exact=True).press("Home")
        expect(page, 1, IN_FORCE["step 1"])


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1440])
def test_the_slider_has_room_and_moves_nothing(visit, width):
    page = visit(
        standalone_panel(PANEL.data, PANEL.weights, PANEL.case, "one", title=PANEL.title),
        viewport={"width": width, "height": 800},
    )
    slider, said = page.get_by_label("Step", exact=True), page.locator(".kit-step-shown")
    assert slider.bounding_box()["width"] >= 150
    before = slider.bounding_box()
    slider.press("End")
    painted(page)
    assert slider.bounding_box() == before
    assert page.get_by_role("img").get_attribute("aria-label") == (
        "Weights in force. From step 1 to step 7: rec 1 throughout; beta from 0 to 1.5; size from 0 to 0.1."
    )
    assert page.locator(".kit-in-force-line").count() == 3
    assert said.bounding_box()["x"] + said.bounding_box()["width"] <= width


@pytest.mark.browser
def test_one_probed_step_needs_no_slider(visit):
    panel = Panel(trained(steps=2, probe_every=5)[0])
    page = visit(standalone_panel(panel.data, panel.weights, panel.case, "one"))
    assert panel.case == "step 1" and page.locator(".kit-choice:visible .kit-step").count() == 0
