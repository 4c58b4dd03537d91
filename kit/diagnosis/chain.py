"""The chain of a training step: the state of every link, where the signal ends, and since when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from types import MappingProxyType

import numpy as np
import pandas as pd

from kit.hypotheses import POLICY, Answer, Check, Observed, Policy
from kit.hypotheses.checking import BROKEN, LINKS

WORKING, NOT_OBSERVED = "working", "not observed"
# what is read of these is compared with what was computed: nothing before them in the chain explains a difference
_COMPARED = frozenset(
    ("display_differs", "validation_display_differs", "display_divided", "validation_never_ran", "validation_stale")
)
_BEFORE_DISPLAY = LINKS[: LINKS.index("total") + 1]
UNUSED = "not used in this step"  # as a reason of ``unreached_parameters``: a head that another task uses, mostly
UNREACHED = "no term reaches it"
_NAMED, _WIDTH = 4, 12


@dataclass(frozen=True)
class Link:
    """One link of the chain, of the whole run or of a part.

    Attributes:
        name: one of ``LINKS``.
        path: "" for the whole run; else the term, the part of the network or the optimizer that it is about.
        state: "working", "not observed", or one of ``BROKEN``: constant, zero, not finite, detached, missing, replaced.
        said: what was measured, a clause.
        first, last: the first and the last step in which it was in this state; None where steps do not tell.
        line: file and line where it is or where it broke; "" where that was not seen.
        check: key of the check that was answered so; "" for what no check asks.
        behind: it follows from a link before it on its path, and is no finding of its own.
    """

    name: str
    path: str
    state: str
    said: str = ""
    first: int | None = None
    last: int | None = None
    line: str = ""
    check: str = ""
    behind: bool = False

    @property
    def broken(self) -> bool:
        return self.state in BROKEN

    @property
    def when(self) -> str:
        """ "steps 400 to 512", or ""."""
        if self.first is None:
            return ""
        return f"step {self.first}" if self.first == self.last else f"steps {self.first} to {self.last}"

    def __str__(self) -> str:
        named = f"{self.name} of {self.path}" if self.path else self.name
        more = "; ".join(part for part in (self.said, self.when, self.line) if part)
        return f"{named}: {self.state}" + (f" ({more})" if more else "")


@dataclass(frozen=True)
class Chain:
    """Every link in the order of a step. ``print`` it, or look at ``table``; ``kit.plots.chain`` draws it.

    Attributes:
        links: those of the whole run first, one each, then those of parts that do not work.
    """

    links: tuple[Link, ...] = ()

    @property
    def whole(self) -> tuple[Link, ...]:
        return tuple(link for link in self.links if not link.path)

    @property
    def parts(self) -> tuple[Link, ...]:
        return tuple(link for link in self.links if link.path)

    @property
    def broken(self) -> tuple[Link, ...]:
        """The first broken link of every path, in the order of a step: what stands behind one follows from it."""
        return tuple(link for link in self.links if link.broken and not link.behind)

    @property
    def not_observed(self) -> tuple[str, ...]:
        """Names of the links of the whole run of which nothing was seen."""
        return tuple(link.name for link in self.whole if link.state == NOT_OBSERVED)

    @property
    def table(self) -> pd.DataFrame:
        """One row a link: link, path, state, said, first, last, line, behind."""
        names = ("path", "state", "said", "first", "last", "line", "behind")
        rows = [{"link": link.name, **{name: getattr(link, name) for name in names}} for link in self.links]
        return pd.DataFrame(rows, columns=["link", *names])

    @property
    def ends(self) -> str:
        """Where the signal ends, in a sentence."""
        if not self.links:
            return "Nothing was recorded."
        if self.broken:
            ends: dict[tuple[str, str], list[str]] = {}
            for link in self.broken:
                ends.setdefault((link.name, link.state), []).append(link.path)
            said = [
                f"{name} of {_list(paths)} ({state})" if any(paths) else f"{name} ({state})"
                for (name, state), paths in ends.items()
            ]
            return f"The signal ends at: {'; '.join(said)}."
        unseen = f" Not observed: {', '.join(self.not_observed)}." if self.not_observed else ""
        return f"Every link that was observed works.{unseen}"

    def __str__(self) -> str:
        return "\n".join([*map(_row, self.links), self.ends])

    def __repr__(self) -> str:
        return f"Chain(broken={[f'{b.name}: {b.state}' for b in self.broken]}, not_observed={list(self.not_observed)})"

    def _repr_html_(self) -> str:
        table = self.table.drop(columns=["behind"]).to_html(index=False, border=0, na_rep="", classes="kit-chain")
        return f"<div class='kit-chain'><p>{escape(self.ends)}</p>{table}</div>"


def _row(link: Link) -> str:
    mark = " " if not link.broken else "." if link.behind else "x"
    more = "  ".join(part for part in (link.path, link.said, link.when, link.line) if part)
    return f"{mark} {link.name:<{_WIDTH}}{link.state:<{_WIDTH + 2}}{more}".rstrip()


def chain_of(seen: Observed, answers: Mapping[Check, Answer], policy: Policy = POLICY) -> Chain:
    """The chain of a recorded run.

    Args:
        seen: the run.
        answers: every check with its answer; a check says which link it asks about and what a yes makes of it.
    """
    whole: list[Link] = []
    for name in LINKS:
        link = _whole(seen, name, answers, policy)
        before = _BEFORE_DISPLAY if name == "display" else LINKS[: LINKS.index(name)]
        behind = link.check not in _COMPARED and any(w.broken and w.name in before for w in whole)
        whole.append(replace(link, behind=behind))
    found = sorted(_parts(seen, answers), key=lambda link: LINKS.index(link.name))
    return Chain((*whole, *(_behind(link, whole, found) for link in found)))


def _behind(part: Link, whole: Iterable[Link], parts: Iterable[Link]) -> Link:
    """Follows from what stops the whole at its link or before it; or from the term that alone reached it."""
    stopped = any(w.broken and LINKS.index(w.name) <= LINKS.index(part.name) for w in whole)
    cut = part.said == UNREACHED and any(p.name == "term" and p.broken for p in parts)
    return replace(part, behind=stopped or (part.name == "forward" and part.broken and cut))


def _whole(seen: Observed, name: str, answers: Mapping[Check, Answer], policy: Policy) -> Link:
    asked = {check: answer for check, answer in answers.items() if check.link == name}
    broken = [(check, answer) for check, answer in asked.items() if answer.yes and check.state and not answer.part]
    # without exception first, then what is said of a running average: constant where nothing else is known
    broken.sort(key=lambda pair: (not pair[1].fact, pair[0].key in _SYMPTOMS))
    if broken:
        check, answer = broken[0]
        first, last, _ = _steps(seen, name, check.state, policy)
        return Link(name, "", check.state, answer.fact or answer.because, first, last, _line(seen, name), check.key)
    for state in BROKEN:  # it broke on the way: from some step to the end
        first, last, often = _steps(seen, name, state, policy)
        if often and first is not None:
            return Link(name, "", state, f"in each of the last {often} measured steps", first, last, _line(seen, name))
    if said := _WORKS[name](seen):
        return Link(name, "", WORKING, said, line=_line(seen, name))
    answered = any(answer.yes is not None for answer in asked.values())
    return Link(name, "", WORKING if answered and name in _BY_CHECKS else NOT_OBSERVED)


_SYMPTOMS = ("validation_level", "train_reads_zero")
_BY_CHECKS = ("weight", "evaluation", "display")


def _line(seen: Observed, name: str) -> str:
    """Of the program, the line on which it does this."""
    lines = (seen.facts.get("lines") or {}).get(_ACTS.get(name, "")) or [""]
    return str(lines[0])


_ACTS = {
    "forward": "forward",
    "total": "loss",
    "backward": "backward",
    "gradients": "gradients",
    "optimizer": "step",
    "evaluation": "evaluation",
}

_Holds = Callable[[pd.DataFrame, Policy], pd.Series]


def _steps(seen: Observed, name: str, state: str, policy: Policy) -> tuple[int | None, int | None, int]:
    """The first and the last step in this state; and how many steps up to the end were in it without exception, 0 if few or all."""
    if (name, state) not in _STEPWISE or "turn" not in seen.steps:
        return None, None, 0
    columns, holds = _STEPWISE[name, state]
    if not {*columns} <= {*seen.steps.columns}:
        return None, None, 0
    table = seen.steps.loc[seen.steps[[*columns]].notna().all(axis=1)]
    held = holds(table, policy).to_numpy(dtype=bool)
    if not held.any():
        return None, None, 0
    turns, places = table["turn"].to_numpy(), np.flatnonzero(held)
    often = int(np.argmin(held[::-1])) if not held.all() else 0
    late = often >= max(policy.enough_steps, policy.late_share * len(held))
    first = turns[-often] if late else turns[places[0]]
    return int(first), int(turns[places[-1]]), often if late else 0


_STEPWISE: Mapping[tuple[str, str], tuple[tuple[str, ...], _Holds]] = MappingProxyType(
    {
        ("outputs", "not finite"): (("outputs_nonfinite",), lambda t, _: t["outputs_nonfinite"] > 0),
        ("outputs", "zero"): (
            ("outputs", "outputs_zero"),
            lambda t, _: (t["outputs"] > 0) & (t["outputs_zero"] == t["outputs"]),
        ),
        ("outputs", "constant"): (
            ("outputs", "outputs_constant"),
            lambda t, _: (t["outputs"] > 0) & (t["outputs_constant"] == t["outputs"]),
        ),
        ("total", "zero"): (("loss",), lambda t, policy: t["loss"].abs() <= policy.exact_zero),
        ("total", "not finite"): (  # a NaN there was measured, not missing
            ("backwards", "loss_graph"),
            lambda t, _: (t["backwards"] > 0) & ~np.isfinite(t.get("loss", t["backwards"]).astype(float)),
        ),
        ("total", "detached"): (("loss_graph",), lambda t, _: t["loss_graph"] == 0),
        ("gradients", "not finite"): (("grad_nonfinite",), lambda t, _: t["grad_nonfinite"] > 0),
        ("gradients", "zero"): (
            ("grad_zero", "grad_none", "grad_tensors"),
            lambda t, _: (t["grad_tensors"] > t["grad_none"]) & (t["grad_zero"] + t["grad_none"] == t["grad_tensors"]),
        ),
        ("optimizer", "zero"): (("lr",), lambda t, policy: t["lr"] <= policy.rate_gone * t["lr"].max()),
        ("parameters", "constant"): (("update_norm",), lambda t, _: t["update_norm"] == 0),
    }
)


def _count(name: str, noun: str) -> Callable[[Observed], str]:
    def said(seen: Observed) -> str:
        total = seen.total(name)
        return f"{total:.0f} {noun}" if total else ""

    return said


def _range(name: str, noun: str) -> Callable[[Observed], str]:
    def said(seen: Observed) -> str:
        values = seen.over_steps(name)
        values = values[np.isfinite(values)]
        return f"{noun} {values.min():.4g} to {values.max():.4g}" if values.size else ""

    return said


def _moved(seen: Observed) -> str:
    moved = np.concatenate([seen.over_steps("update_norm"), seen.over_epochs("drift")])
    return f"changed by {moved.max():.4g} at most" if moved.any() else ""


def _losses(seen: Observed) -> str:
    losses = seen.losses[np.isfinite(seen.losses)]
    return f"{losses.min():.4g} to {losses.max():.4g}" if losses.size else ""


def _terms(seen: Observed) -> str:
    names = seen.facts.get("terms_read") or seen.facts.get("terms") or ()
    return f"{len(names)} read: {_list(names)}" if names else ""


def _weights(seen: Observed) -> str:
    if seen.terms.empty:
        return ", ".join(f"{name} = {seen.weight(name)[-1]:.4g}" for name in seen.weights if seen.weight(name).size)
    last = seen.terms[seen.terms["step"] == seen.terms["step"].iloc[-1]]
    named = {row.weight_name: row.weight for row in last.itertuples(index=False)}
    return _list(f"{value:.4g}" if _is_number(name) else f"{name} = {value:.4g}" for name, value in named.items())


def _is_number(text: str) -> bool:
    """As it is written in the sum, or nothing at all."""
    return not text.strip("+-.eE0123456789_")


def _outputs(seen: Observed) -> str:
    values = seen.over_steps("outputs")
    return _tensors(values.max()) if values.size and values.max() else ""


def _displayed(seen: Observed) -> str:
    shown = [name for name in ("train_loss", "val_loss") if seen.over_epochs(name).size]
    return ", ".join(shown)


# what says that a link works, where no check says that it does not; "" for nothing
_WORKS: Mapping[str, Callable[[Observed], str]] = MappingProxyType(
    {
        "data": _count("batches", "batches"),
        "forward": _count("batches", "forward passes in training"),
        "outputs": _outputs,
        "term": _terms,
        "weight": _weights,
        "total": _losses,
        "backward": _count("backwards", "backward passes"),
        "gradients": _range("grad_norm", "norm"),
        "optimizer": _count("steps", "steps"),
        "parameters": _moved,
        "evaluation": _count("eval_forwards", "evaluation passes"),
        "display": _displayed,
    }
)


def _parts(seen: Observed, answers: Mapping[Check, Answer]) -> Iterable[Link]:
    """Terms, parts of the network and optimizers that do not work, while others of their kind do."""
    named = [*_terms_broken(seen), *_network_broken(seen), *_optimizers_broken(seen)]
    yield from named
    told = {(link.name, link.state) for link in named}
    for check, answer in answers.items():
        if answer.yes and answer.part and check.state and (check.link, check.state) not in told:
            yield Link(check.link, "a part", check.state, answer.fact or answer.because, check=check.key)


def _terms_broken(seen: Observed) -> Iterable[Link]:
    facts, table = seen.facts, seen.terms
    lines = {} if table.empty else dict(zip(table["name"], table["source"], strict=True))
    zero, weighed = facts.get("terms_always_zero") or (), facts.get("terms_weighed_zero") or ()
    for name in weighed:
        state, said = "zero", "0 in every step that was read"
        if _reads_only_the_first(seen):  # it may be on its way up
            state, said = NOT_OBSERVED, "0 in the first steps, and no later one was read"
        yield Link("weight", name, state, said, line=lines.get(name, ""))
    for name in zero:
        yield Link("term", name, "zero", "0 in every step that was read", line=lines.get(name, ""))
    same = facts.get("terms_of_the_same") or ()
    for name in same:
        yield Link("term", name, "zero", "what it compares was equal, number by number", line=lines.get(name, ""))
    if not table.empty:
        last = table[table["step"] == table["step"].iloc[-1]]
        for row in last[
            ((last["attached"] == 0) | (last["cut"] != "")) & ~last["name"].isin([*zero, *weighed])
        ].itertuples(index=False):
            cut = f"cut by {row.cut_by}" if row.cut_by else "has no graph"
            yield Link("term", row.name, "detached", cut, line=row.cut or row.source)
    for name in facts.get("ignored_weights") or ():
        yield Link("weight", name, "missing", "read by nothing that reaches the total")


def _reads_only_the_first(seen: Observed) -> bool:
    """Of a run that went on."""
    turns = seen.facts.get("turns") or 0
    return not seen.terms.empty and turns > 2 * seen.terms["step"].max()


def _network_broken(seen: Observed) -> Iterable[Link]:
    facts = seen.facts
    origin = facts.get("first_nonfinite") or {}
    made = f"first {origin['what']} made by {origin['operation']}" if origin else ""
    for path, names in _grouped(entry.split(":")[0] for entry in facts.get("nonfinite_gradients") or ()).items():
        said = "; ".join(part for part in (_tensors(len(names)), made) if part)
        yield Link("gradients", path, "not finite", said, line=str(origin.get("source") or ""))
    for path, names in _grouped(facts.get("zero_gradients") or ()).items():
        yield Link("gradients", path, "zero", f"{_tensors(len(names))}, in every step that was read")
    unreached = [entry.partition(": ") for entry in facts.get("unreached_parameters") or ()]
    for why in dict.fromkeys(reason for _, _, reason in unreached):
        for path in _grouped(name for name, _, reason in unreached if reason == why):
            state = NOT_OBSERVED if why == UNUSED else "detached"
            yield Link("forward", path, state, why or UNREACHED)


def _optimizers_broken(seen: Observed) -> Iterable[Link]:
    for row in seen.facts.get("optimizer_records") or ():
        looked, none = row.get("looked") or 0, row.get("without_gradient") or 0
        name, line = row.get("kind") or "an optimizer", row.get("source") or ""
        if looked and none == looked:
            yield Link("gradients", name, "missing", f"none at any of {looked:.0f} of its steps", line=line)
        elif row.get("lr_first") == 0 and row.get("lr_last") == 0:
            yield Link("optimizer", name, "zero", "its learning rate is 0", line=line)


def _grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Parameters by the part of the network that they are in: the first word of their names."""
    parts: dict[str, list[str]] = {}
    for name in names:
        first = name.split(".")[0]
        parts.setdefault(f"layer {first}" if first.isdecimal() else first, []).append(name)
    return parts


def _tensors(count: float) -> str:
    return "1 tensor" if count == 1 else f"{count:.0f} tensors"


def _list(names: Iterable[str]) -> str:
    names = list(map(str, names))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
