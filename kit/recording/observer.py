"""What a watch makes of what it hears: turns, phases and epochs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from kit.recording.epoch_ends import Block, Forward, phase_of
from kit.recording.evaluation import Evaluating
from kit.recording.graph_cuts import KEPT_TURNS, Cuts
from kit.recording.history import DETAILED_TURNS, Book, Turn
from kit.recording.lines import Lines
from kit.recording.listeners import Call
from kit.recording.measuring import Measuring, first_dimension
from kit.recording.norms import norms_of
from kit.recording.on_finding import Lookout
from kit.recording.output_hooks import Hooked, Term, named_terms
from kit.recording.parameter_change import Movement
from kit.recording.participants import Parts, float_tensors
from kit.recording.probed_steps import ProbedSteps
from kit.recording.step_graphs import StepGraphs
from kit.recording.stepping import Stepping
from kit.recording.terms import value_of
from kit.stepgraph import sandboxes

MOST_NOTES = 40
# a turn before which every optimizer of a usual loop has stepped; one may be gone when the function that made it ends
LOOK_FOR_IDLE = 5
FLOW_EVERY = 10


class Observer(Evaluating, Stepping):
    """One open watch. Hears the events of ``hooks``; every method may be called from any thread, under ``lock``."""

    def __init__(
        self, model: nn.Module | None, loss: Any, every: int, terms: bool, probe_every: int | None = None
    ) -> None:
        self.thread, self.lock, self.given = threading.get_ident(), threading.RLock(), model
        self.sandboxes = sandboxes()
        self.lookout: Lookout | None = None
        self.parts, self.book, self.movement = Parts(model, loss), Book(every), Movement()
        self.measuring = Measuring(self.parts, loss, terms)
        self.block = Block()
        self.last: Forward | None = None
        self.forwards_seen = False
        self.notes: dict[str, None] = {}
        self.threads: set[int] = set()
        self.hooked = Hooked(self)
        self.terms_met: dict[str, Term] = {}
        self.cuts = Cuts()
        self.lines = Lines()
        self.graphs = StepGraphs(self._names_of_trained, ProbedSteps(probe_every, self._trained))
        super().__init__()
        if model is not None:
            self.parts.add_given(model)

    def note(self, sentence: str) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes[sentence] = None

    def cannot(self, event: str, error: Exception) -> None:
        self.note(f"{event} could not be recorded in full: {type(error).__name__}: {str(error)[:200]}")

    def opened(self) -> None:
        self.attempt(self.graphs.expect, self.book.count + 1)

    def compiles(self) -> None:
        self.attempt(self.graphs.compiles)

    def closed(self) -> None:
        self.attempt(self.graphs.close)

    def knows(self, module: nn.Module) -> bool:
        return self.parts.knows(module)

    def wants_terms(self, module: nn.Module) -> bool:
        view, count = self.measuring.view, self.book.count
        if not self.measuring.terms or (view is not None and view.holder is not module):
            return False
        return self.book.will_be_detailed(count) or self.book.will_be_detailed(count + 1)

    def wants_flow(self) -> bool:
        return self.book.count <= DETAILED_TURNS

    def called(self, call: Call) -> None:
        kind = self.parts.kind_of(call)
        if kind == "side":
            if self.wants_flow() and call.grad:
                self.attempt(self.cuts.judged, call)  # an activation between two parts
            self._hook_terms(call.output)  # a criterion that returns its terms and no total
            return
        self.threads.add(threading.get_ident())
        if kind == "loss":
            self.lines.saw("loss" if call.grad else "loss in evaluation")
            self.loss_called(call)
            return
        net = self.parts.net(call)
        forward = Forward(net, phase_of(call), call.training, batch=first_dimension(call))
        self.forwards_seen = True
        self.lines.saw("evaluation" if forward.phase == "eval" else "forward")
        if forward.phase == "train":
            self._training_forward(forward, call)
        else:
            self._other_forward(forward, call)
        self.last = forward
        if call.failed:
            return
        self._hook(forward, call.output)
        self._hook_terms(call.output)
        if forward.turn is not None and self.wants_flow():
            self.attempt(self.cuts.passed, forward.net, call, forward.turn.number)
        if self._detailed(forward):
            self.attempt(self.measuring.model_output, forward, call)
        for inner in self.parts.losses_inside(call):
            self.loss_called(inner)

    def _detailed(self, forward: Forward | None) -> bool:
        """Whether the turn of this pass is measured in full; for an undecided pass, the turn that it would start."""
        if forward is not None and forward.turn is not None:
            return forward.turn.detailed
        if forward is None:
            return self.book.turn is not None and self.book.turn.detailed
        return forward.phase == "maybe" and self.book.will_be_detailed(self.book.count + 1)

    def _training_forward(self, forward: Forward, call: Call) -> None:
        boundary = self.settle_block(forward.net, call)
        turn = self.book.turn
        if turn is None or boundary or (turn.spent and not self.same_step(turn)):
            turn = self._new_turn()
        self._enrol(forward, turn)
        turn.open = True

    def _enrol(self, forward: Forward, turn: Turn) -> None:
        """The pass belongs to training, and to this turn."""
        forward.phase, forward.turn = "train", turn
        turn.enrol(forward.net)
        forward.net.trained, forward.net.companion = True, False
        forward.net.passes += 1
        if forward.net not in self.turn_nets:
            self.turn_nets.append(forward.net)
            if turn.detailed:
                self.parts.refresh([forward.net])
        self.attempt(self.movement.trains, forward.net)
        if math.isnan(turn.batch):
            turn.batch = forward.batch
        for value, graph in forward.losses:
            self._returned(turn, value, graph)
        turn.missing_keys = forward.measured.pop("missing_keys", turn.missing_keys)
        turn.measured |= forward.measured
        forward.losses, forward.measured = [], {}

    def _new_turn(self) -> Turn:
        self.close_turn()
        if self.lookout is not None and self.book.count:
            self.attempt(self.lookout.step_ended, self.book.count)
        turn = self.book.new_turn()
        self.cuts.forget(turn.number)
        if turn.number == LOOK_FOR_IDLE:
            self.attempt(self.parts.look_for_idle)
        self.turn_nets = self.parts.loss_nets()
        turn.step = self.current_step
        return turn

    def loss_called(self, call: Call) -> None:
        if call.failed:
            return
        forward, turn = self.last, self.book.turn
        value, graph = value_of(call.output)
        self.measuring.called = True
        if (forward is None and not call.grad) or (forward is not None and forward.phase == "eval"):
            if forward is not None and self.block:
                self.block.values.append((forward.net, value))
            else:
                self.book.epoch.evaluate(value)
            self.attempt(self.measuring.meet, call)
        elif forward is not None and forward.turn is None:  # not decided yet: kept with the pass
            forward.losses.append((value, graph))
            self.attempt(self.measuring.meet, call)
            forward.measured |= self._measured(forward, call)
        else:
            turn = turn or self._new_turn()
            if self.wants_flow():
                self.attempt(self.cuts.judged, call)
            self._hook_terms(call.output)
            self._returned(turn, value, graph)
            self.attempt(self.measuring.meet, call)
            measured = self._measured(forward, call)
            turn.missing_keys = measured.pop("missing_keys", turn.missing_keys)
            turn.measured |= measured

    def _measured(self, forward: Forward | None, call: Call) -> dict[str, Any]:
        found = self.attempt(self.measuring.weights, call) or {}
        for measure in self.measuring.in_full if self._detailed(forward) else ():
            found |= self.attempt(measure, call) or {}
        return found

    def attempt(self, measure: Callable[..., Any], *details: Any) -> Any:
        """A measurement that fails costs its own columns, not the counts."""
        try:
            return measure(*details)
        except Exception as error:  # noqa: BLE001 - outputs, targets and losses are of any kind; what cannot be measured is noted
            self.cannot(measure.__name__.strip("_"), error)
            return None

    @property
    def loss_visible(self) -> bool:
        return self.measuring.called or isinstance(self.parts.loss, nn.Module)

    def logged(self, ends: bool) -> int:
        """The program displayed numbers of the epoch that runs; `ends`: with its number, so it is over. Its row."""
        if ends and self.book.epoch.logged:
            self.end_epoch()
        self._count()
        if ends:
            self._note_drift()
            self.book.epoch.logged = True
        return self.book.epoch.number

    def _returned(self, turn: Turn, value: Any, graph: float) -> None:
        turn.loss_calls += 1
        if value is not None:
            turn.loss_returned, turn.loss_returned_graph = value, graph
            turn.returned.append(value)

    def _hook(self, forward: Forward, output: Any) -> None:
        found = float_tensors(output)
        if not found and forward.turn is not None:
            forward.turn.reached = math.nan  # an output of a kind that cannot be looked into: not 0, unknown
            self.note(f"The output of {forward.net.kind} shows no tensor: which passes are differentiated is not seen.")
        self.hooked.add(forward, found)

    def _hook_terms(self, output: Any) -> None:
        turn = self.book.turn
        if turn is None or not turn.detailed:
            return
        for name, value in named_terms(output).items():
            self.hooked.add(self.terms_met.setdefault(name, Term(name)), [value])

    def reached(self, forward: Forward | Term, grad: Tensor) -> None:
        if isinstance(forward, Term):
            forward.reached = True
            return
        turn = forward.turn or self.book.turn
        # a pass over every output costs: what goes wrong on this way goes wrong again
        if turn is not None and turn.detailed and (turn.number <= DETAILED_TURNS or turn.number % FLOW_EVERY == 0):
            broken = self.attempt(_broken, grad)
            if broken is not None:
                turn.measured["flow_nonfinite"] = max(broken, turn.measured.get("flow_nonfinite", 0.0))
        if forward.reached:
            return
        forward.reached = forward.net.reached = True
        if forward.turn is None and self.in_backward and forward in self.block.undecided:
            self.block.take_out(forward)
            self._enrol(forward, self.book.turn or self._new_turn())
        turn = forward.turn
        if turn is None:
            return
        turn.reach(forward.net)

    def rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """As if the run ended here; passes that are not decided yet count as what they look like."""
        steps, epochs = self.book.rows()
        for net in self.block.evaluated(self._own, self.parts.shapes(), None) if epochs else []:
            epochs[-1]["eval_forwards"] += self.block.counts[net]
        return steps, epochs

    def finish(self) -> None:
        """After the hooks are gone."""
        self.hooked.clear()
        self.cuts.forget(self.book.count + KEPT_TURNS)
        self.attempt(self.parts.look_for_idle)
        self._count()
        self.close_turn()
        self._note_drift()
        self.book.settle()
        self.last = None


def _broken(grad: Tensor) -> float | None:
    norms = norms_of([grad])
    return None if norms is None else float(not all(map(math.isfinite, norms)))
