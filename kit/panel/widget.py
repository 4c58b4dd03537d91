"""`Panel`: the widget. It holds the state (setting, case, note, status); all drawing happens in the front end."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from kit.files import check_ending, readable, sentence, write_atomically
from kit.panel.assets import module_source, panel_page, stylesheet
from kit.panel.data import Probes, ShownProbe, as_cases, panel_data
from kit.panel.exported import Exporting
from kit.panel.presets import Preset
from kit.panel.recorded import cases_of, presets_in
from kit.panel.setting import Setting
from kit.panel.static_view import static_html
from kit.plots import figure_style


class PanelValueError(ValueError, traitlets.TraitError):
    """A setting that the panel refuses. Also a TraitError, so that traitlets puts the old value back."""


class Panel(Exporting, anywidget.AnyWidget):
    """What each term adds to the total and to the gradient, for every setting of the weights.

    reports:   a ProbeReport, a mapping title -> ProbeReport, or a Trace of `kit.watch(..., probe_every=...)`: the probed
               states to choose from, first one shown. Titles "step 1", "step 51", ... of one run are a slider over its steps
    presets:   settings offered as buttons, see `Preset`; those of `kit.whatif.balance` are offered as well
    upper:     right end of the sliders (raised where a probed or preset weight is larger)
    on_export: callable(panel) -> path; when given, a button "Export finding (HTML)" is shown that calls it
    title:     heading of the panel
    note:      text the note field starts with

    Read and set: `weights` (name of an adjustable weight -> value; names left out take their probed value), `case`
    (title of the state shown), `note`. `weights` is read-only in place (TypeError): assign it as a whole. A weight that was
    probed below 0 counts with its probed value and is no part of `weights`. `status` holds the last message about an export. Moving a slider re-weights what
    was recorded at one step; it does not retrain. Raises ValueError for unknown names, negative or non-finite weights,
    unknown cases.
    """

    _esm = module_source()
    _css = stylesheet()

    data = traitlets.Dict().tag(sync=True)
    weights = traitlets.Dict().tag(sync=True)
    case = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    can_export = traitlets.Bool(False).tag(sync=True)
    _wanted = _closed = False

    def __init__(
        self,
        reports: Probes,
        *more: Any,
        presets: Sequence[Preset] = (),
        upper: float = 2.0,
        on_export: Callable[[Panel], object] | None = None,
        title: str = "What if the weights were different?",
        note: str = "",
    ) -> None:
        if more:
            raise TypeError(
                f"Panel should be given one report, or a mapping title -> report. Found {1 + len(more)} arguments. "
                "Call kit.probe first: kit.Panel(kit.probe(model, loss, batch))."
            )
        self._reports = as_cases(reports)
        first = next(iter(self._reports))
        data = panel_data(self._reports, tuple(presets), upper)
        self._adjustable: list[bool] = data["adjustable"]
        super().__init__(data=data, case=first, weights=self._probed(first), title=title, note=note)
        self.on_export(on_export)
        self.on_msg(self._receive)

    def open(self) -> None:
        """Open the channel to the notebook, which is done when the panel is first shown: findings that are kept, read and
        compared hold panels that nobody looks at, and a notebook that hears of one and loses it at once reports an error.
        """
        if self._wanted and not self._closed:
            super().open()

    @property
    def model_id(self) -> str:
        """Name of the channel; asking for it is what showing does."""
        if self.comm is None:
            self._wanted = True
            self.open()
        return super().model_id

    def close(self) -> None:
        super().close()
        self._closed = True

    def to_record(self) -> dict[str, Any]:
        """The panel as it is left, ready for `json.dumps`: its data and its setting, case, title and note."""
        return {
            "data": self.data,
            "weights": dict(self.weights),
            "case": self.case,
            "title": self.title,
            "note": self.note,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Panel:
        """The live panel of a record. ValueError for anything that `to_record` did not write."""
        if missing := [key for key in ("data", "weights", "case", "title", "note") if key not in record]:
            raise ValueError(f"record should be a panel's record. Found no {', '.join(missing)}.")
        data = record["data"]
        panel = cls(cases_of(data), presets=presets_in(data), upper=data["upper"], title=record["title"])
        panel.case = record["case"]
        panel.weights = record["weights"]
        panel.note = record["note"]
        return panel

    def _probed(self, case: str) -> dict[str, float]:
        report = self._reports[case]
        columns = zip(report.weight_names, report.weights, self._adjustable, strict=True)
        return {name: float(w) for name, w, can in columns if can}

    def _negative(self, case: str) -> dict[str, float]:
        """Probed weights that a loss accepts and the panel shows without a slider."""
        report = self._reports[case]
        columns = zip(report.weight_names, report.weights, self.data["negative"], strict=True)
        return {name: float(w) for name, w, below in columns if below}

    @property
    def report(self) -> ShownProbe:
        """The ProbeReport of the case shown."""
        return self._reports[self.case]

    @traitlets.validate("title", "note", "status")
    def _readable(self, proposal: Any) -> str:
        return readable(proposal["value"])

    @traitlets.validate("case")
    def _check_case(self, proposal: Any) -> str:
        if proposal["value"] not in self._reports:
            raise PanelValueError(
                f"case should be the title of a probed state. Found case = {proposal['value']!r}; "
                f"known are {', '.join(map(repr, self._reports))}."
            )
        return proposal["value"]

    @traitlets.validate("weights")
    def _check_weights(self, proposal: Any) -> Setting:
        asked: Mapping[str, Any] = proposal["value"]
        full, negative = self._probed(self.case), self._negative(self.case)
        upper = self.data["upper"]
        for name, value in asked.items():
            if name in negative:
                if value != negative[name]:
                    raise PanelValueError(
                        f"{name} should stay {negative[name]:g}, as probed: a weight probed below 0 is shown, not "
                        f"adjustable. Found {name} = {value!r}; adjustable are {', '.join(full)}, from 0 to {upper:g}."
                    )
                continue
            if name not in full:
                raise PanelValueError(f"weights should have known names. Found {name!r}; known are {', '.join(full)}.")
            try:
                w = float(value)
            except (TypeError, ValueError) as error:
                raise PanelValueError(f"weights should be numbers. Found {name} = {value!r}.") from error
            if not math.isfinite(w) or w < 0:
                raise PanelValueError(f"weights should be finite and >= 0. Found {name} = {value!r}.")
            if w > upper:
                raise PanelValueError(
                    f"weights should be <= {upper:g}, the end of the sliders. "
                    f"Found {name} = {value!r}; make the panel with a larger `upper`."
                )
            full[name] = w
        return Setting(full)

    @traitlets.observe("case")
    def _follow_case(self, change: Any) -> None:
        # A setting that was as probed stays as probed in the new state; a setting made by hand is kept.
        if change["old"] in self._reports and self.weights == self._probed(change["old"]):
            self.weights = self._probed(change["new"])

    def _receive(self, _widget: Panel, content: Any, _buffers: Any) -> None:
        if self.hear_download(content) or not isinstance(content, Mapping) or content.get("type") != "export":
            return
        try:
            # The message carries the setting of the moment of the click; a state update may still be on its way.
            self.set_trait("case", content.get("case", self.case))
            self.set_trait("weights", content.get("weights", self.weights))
            self.set_trait("note", content.get("note", self.note))
        except traitlets.TraitError as error:
            self.say_nothing_written(f"could not export: {error}")
            return
        self.export()

    def on_export(self, write: Callable[[Panel], object] | None) -> None:
        """Offer the button "Export finding (HTML)", which calls `write(panel)` -> path; None takes it away."""
        if write is not None and not callable(write):
            raise TypeError(f"on_export should be a callable(panel) or None. Found {type(write).__name__}.")
        self._export_to = write
        self.can_export = write is not None

    def export(self) -> None:
        """Calls what `on_export` was given and says in `status` what was written or what went wrong.

        Errors that writing a file can meet (OSError, ValueError, TypeError, RuntimeError) end in `status`, because a
        notebook shows no exception of a button; any other error is named there and raised.
        """
        if self._export_to is None:
            self.say_nothing_written("could not export: nothing to write with; call panel.on_export first")
            return
        self.say_nothing_written("writing \u2026")
        try:
            path = self._export_to(self)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            said = sentence(error, "write") or type(error).__name__
            self.say_nothing_written(f"could not export: {said}")
        except BaseException as error:
            self.say_nothing_written(f"could not export: {type(error).__name__}: {error}")
            raise
        else:
            self.say_written(path)

    def write(self, path: str | os.PathLike) -> Path:
        """Write a page with this panel as it is left: live in any browser, without a notebook and without a network.

        A ``Finding`` with the panel as evidence writes a page with its question and answer as well.

        Raises:
            ValueError: a path that does not end in .html. OSError: the file cannot be written.
        """
        return write_atomically(check_ending(path, ".html", ".htm"), panel_page(self.to_record(), self.still_html()))

    def still_html(self) -> str:
        """The present setting as a figure with alt text and a table, for a page read without JavaScript."""
        return static_html(
            self.report, self.weights, title=self.title, case=self.case, live="the sliders need JavaScript"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        # Where no widget runs (a page on the web, an untrusted notebook) this is what a reader sees.
        fallback = static_html(self.report, self.weights, title=self.title, case=self.case)
        return {**data, "text/html": fallback + figure_style()}, metadata

    def __repr__(self) -> str:
        setting = ", ".join(f"{name!r}: {value:g}" for name, value in self.weights.items())
        return f"Panel(case={self.case!r}, weights={{{setting}}})"

    def __str__(self) -> str:
        return f"{self!r}; to see it, open in Jupyter or panel.write('panel.html')"
