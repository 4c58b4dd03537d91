"""What the numbers of a log tell, in sentences; and which of them are symptoms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from kit.hypotheses import POLICY, Policy
from kit.logs.tables import TERM, Series, Tables

_MANY = 20  # zeros in a row at the end, however long the log is


@dataclass(frozen=True)
class Told:
    """One thing that the log tells. ``trouble``: it is a symptom. ``since``: where the train loss died, in units of the log."""

    sentence: str
    trouble: bool = False
    since: float | None = None


def story_of(tables: Tables, policy: Policy = POLICY) -> tuple[Told, ...]:
    """The train loss, the gradients, the learning rate, the validation, the terms, in this order."""
    series, unit = tables.series, tables.unit
    told: list[Told] = []
    train = series.get("train_loss") or series.get("train_epoch")
    if train is not None:
        told += _of_train(train, unit, policy)
    if "grad_norm" in series:
        told += _of_gradients(series["grad_norm"], train, unit, policy)
    died = next((each.since for each in told if each.since is not None), None)
    if "lr" in series:
        told += _of_rate(series["lr"], unit, died, policy)
    if "val_loss" in series:
        told += _of_validation(series["val_loss"], unit, policy)
    told += _of_terms(series, policy)
    return tuple(told)


def _of_train(train: Series, unit: str, policy: Policy) -> Iterator[Told]:
    values, name, kept = train.values, train.name, len(train.values)
    finite = np.isfinite(values)
    if not finite.all():
        first = np.flatnonzero(~finite)[0]
        to_the_end = not finite[first:].any()
        where = (
            f"from {unit} {_at(train, first)} on" if to_the_end else f"in {(~finite).mean():.0%} of {train.count} rows"
        )
        yield Told(f"`{name}` is NaN or infinite {where}.", to_the_end or (~finite).mean() >= policy.sometimes)
    shown = values[finite]
    if not shown.size:
        return
    zero = values == 0
    above = np.flatnonzero(~zero & finite)
    if not above.size:
        each = f"each of {train.count} rows" if finite.all() else "every row in which it is a number"
        said = f"`{name}` reads {_written(train, int(np.argmax(finite)))} in {each} and never anything else.{_rounding(train)}"
        yield Told(said, True)
        return
    zeros = kept - above[-1] - 1
    if finite.all() and zeros >= max(policy.enough_steps, min(policy.late_share * kept, _MANY)):
        yield from _ended_at_zero(train, above, unit, policy)
    elif shown.size >= policy.enough_steps and np.ptp(shown) <= policy.level * np.abs(shown).max():
        yield Told(f"`{name}` is the same number in each of {train.count} rows: {shown[0]:.6g}.", not train.rounded)
    else:
        between = f"; it reads 0 in {zero.mean():.0%} of them" if zero.any() else ""
        yield Told(f"`{name}` goes from {shown[0]:.6g} to {shown[-1]:.6g} in {train.count} rows{between}.")


def _ended_at_zero(train: Series, above: np.ndarray, unit: str, policy: Policy) -> Iterator[Told]:
    values, name, last = train.values, train.name, above[-1]
    head = f"`{name}` is positive until {unit} {_at(train, last)} and reads exactly 0 from {unit} {_at(train, last + 1)} on"
    if train.rounded:
        yield Told(
            f"`{name}` reads {_written(train, last + 1)} from {unit} {_at(train, last + 1)} on.{_rounding(train)}"
        )
    elif len(above) < last + 1:
        yield Told(f"`{name}` reads 0 from {unit} {_at(train, last + 1)} on, and did so before between positive ones.")
    elif values[last] < policy.died_from * np.abs(values[: last + 1]).max():
        yield Told(
            f"{head}; it came there by small numbers ({values[last]:.3g} was the last), as of data that is fitted."
        )
    else:
        yield Told(f"{head}: it died there, {values[last]:.6g} was the last number before.", True, train.at[last + 1])


def _of_gradients(norms: Series, train: Series | None, unit: str, policy: Policy) -> Iterator[Told]:
    values, name = norms.values, norms.name
    bad = ~np.isfinite(values)
    if bad.any():
        good = np.flatnonzero(~bad)
        first = good[-1] + 1 if good.size else 0
        if first < len(values):
            where = (
                f"is NaN or infinite from {unit} {_at(norms, first)} on" if first else "is NaN or infinite in every row"
            )
            beside = np.empty(0) if train is None else train.values[train.at >= norms.at[first]]
            together = beside.size > 0 and not beside.any()
            sign = (
                " while the loss reads 0: that is how a trainer looks that leaves NaN losses or gradients out of its display"
                if together
                else ""
            )
            yield Told(f"`{name}` {where}{sign}.", bool(first == 0 or len(values) - first >= policy.enough_steps))
        else:
            yield Told(f"`{name}` is NaN or infinite in {bad.mean():.0%} of {norms.count} rows, and finite after them.")
    elif len(values) >= policy.enough_steps and not values.any():
        yield Told(f"`{name}` reads {_written(norms)} in each of {norms.count} rows.", not norms.rounded)


def _of_rate(rates: Series, unit: str, died: float | None, policy: Policy) -> Iterator[Told]:
    values, name, count = rates.values, rates.name, len(rates.values)
    above = np.flatnonzero(values > policy.rate_gone * np.nanmax(values)) if np.isfinite(values).any() else np.empty(0)
    if not above.size:
        yield Told(
            f"`{name}` reads {_written(rates)} in each of {rates.count} rows.{_rounding(rates)}", rates.decimals is None
        )
    elif above[-1] + 1 < count:
        first, end = above[-1] + 1, rates.at[-1]
        before = (
            ""
            if died is None
            else (", before the loss died" if rates.at[first] <= died else ", after the loss had died")
        )
        said = f"`{name}` reaches {_written(rates, first)} at {unit} {_at(rates, first)} of {end:.6g}{before}."
        yield Told(said, count - first >= max(policy.enough_steps, policy.long_share * count) and not rates.rounded)


def _of_validation(validation: Series, unit: str, policy: Policy) -> Iterator[Told]:
    values, name = validation.values, validation.name
    finite = values[np.isfinite(values)]
    if finite.size < values.size:
        first = np.flatnonzero(~np.isfinite(values))[0]
        more = "and later" if np.isfinite(values[first:]).any() else "and from there on"
        yield Told(f"`{name}` is NaN or infinite at {unit} {_at(validation, first)} {more}.", True)
    if finite.size < 2:
        return
    if np.ptp(finite) <= policy.level * np.abs(finite).max():
        said = f"`{name}` is the same number in each of {validation.count} evaluations: {finite[0]:.6g}.{_rounding(validation)}"
        yield Told(said, not validation.rounded or finite.size >= policy.enough_steps)
    else:
        yield Told(
            f"`{name}` goes from {finite[0]:.6g} to {finite[-1]:.6g} in {validation.count} evaluations; "
            f"its lowest is {finite.min():.6g}, its highest {finite.max():.6g}."
        )


def _of_terms(series: Mapping[str, Series], policy: Policy) -> Iterator[Told]:
    for role, each in series.items():
        if role.startswith(TERM) and len(each.values) >= policy.enough_steps:
            if not each.values.any():
                yield Told(
                    f"The term `{each.name}` reads {_written(each)} in each of {each.count} rows.{_rounding(each)}"
                )
            elif not np.isfinite(each.values).all():
                yield Told(
                    f"The term `{each.name}` is not finite in {(~np.isfinite(each.values)).mean():.0%} of {each.count} rows."
                )


def _at(series: Series, place: int) -> str:
    return f"{series.at[place]:.6g}" if series.at[place] < 1e6 else f"{series.at[place]:.0f}"


def _written(series: Series, place: int = 0) -> str:
    """A zero with the decimals it was written with."""
    value = series.values[place]
    return f"{value:.{series.decimals}f}" if series.decimals is not None else f"{value:.6g}"


def _rounding(series: Series) -> str:
    if not series.rounded:
        return ""
    return f" Only {series.decimals} decimals were written, so it need not be exact: print it with .3e."
