"""One ES module text and one style sheet, the same in a notebook and in an exported page.

The module is written as several files, one concern each; `module_source` joins them, because anywidget and an inline
script both take a single text. Nothing in it has an address: the page works from a file, under a policy that forbids
every request.
"""

from __future__ import annotations

import functools
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from kit.plots import palette

# In the order of their imports: every name is defined above the place that uses it.
MODULES: tuple[str, ...] = (
    *("algebra.js", "drawing.js", "scale.js", "controls.js", "exported.js", "readings.js", "readout.js", "views.js"),
    *("frames.js", "in_force.js", "presets.js"),
    "panel.js",
)
JOURNAL_MODULES: tuple[str, ...] = ("drawing.js", "scale.js", "controls.js", "exported.js", "journal.js")
WRITTEN_MODULES: tuple[str, ...] = ("drawing.js", "scale.js", "controls.js", "exported.js", "written.js")
GUESS_MODULES: tuple[str, ...] = ("drawing.js", "scale.js", "controls.js", "guess.js")
LIVE_MODULES: tuple[str, ...] = (
    *("algebra.js", "drawing.js", "scale.js", "controls.js", "readings.js", "readout.js"),
    *("live_curves.js", "live_legend.js", "live_charts.js", "live_wall.js", "live_acts.js", "live_controls.js"),
    *("live_kernel.js", "frames.js"),
    "live.js",
)
PAGE_MODULES: tuple[str, ...] = ("standalone.js", "link.js", "csv.js", "page.js")

_JSON_IMPORT = re.compile(r'^import (\w+) from "\./([\w.]+\.json)" with \{ type: "json" \};\n', re.MULTILINE)
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./[\w.]+\.js";\n', re.MULTILINE)
_TYPE_IMPORT = re.compile(r"^/\*\* @typedef \{import\(.*\*/\n", re.MULTILINE)
_INNER_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
_LAST_EXPORT = "export default { render };"
_ELEMENT_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def _json(name: str) -> Any:
    """A JSON file that the modules import: the palette is shared with the static figures and stands beside them."""
    return palette() if name == "palette.json" else json.loads(_read(name))


def script_json(value: object) -> str:
    """JSON that is safe inside a script element, whatever was typed: pure ASCII and without `<`, `>` and `&`."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@functools.cache
def module_source() -> str:
    """Text of the ES module; ends in one `export default { render };`."""
    return "\n\n".join(_joined(name) for name in MODULES) + "\n"


@functools.cache
def journal_source() -> str:
    """Text of the ES module of the journal's list."""
    return "\n\n".join(_joined(name) for name in JOURNAL_MODULES) + "\n"


@functools.cache
def written_source() -> str:
    """Text of the ES module of the line that says where a page was written."""
    return "\n\n".join(_joined(name) for name in WRITTEN_MODULES) + "\n"


@functools.cache
def guess_source() -> str:
    """Text of the ES module of a question with its answers as buttons."""
    return "\n\n".join(_joined(name) for name in GUESS_MODULES) + "\n"


@functools.cache
def live_source() -> str:
    """Text of the ES module of a training that runs."""
    return "\n\n".join(_joined(name) for name in LIVE_MODULES) + "\n"


@functools.cache
def live_stylesheet() -> str:
    """Its style sheet: the panel's, and what is its own."""
    return stylesheet() + _read("live.css")


def _joined(name: str) -> str:
    """A file as it stands in the one text: no import, no export but the last, data in place."""
    text = _JSON_IMPORT.sub(lambda found: f"const {found[1]} = {script_json(_json(found[2]))};\n", _read(name))
    return _INNER_EXPORT.sub("", _TYPE_IMPORT.sub("", _IMPORT.sub("", text))).strip()


@functools.cache
def stylesheet() -> str:
    """Text of the style sheet; every class starts with `kit-`."""
    return _read("panel.css")


@functools.cache
def _inline_module(*more: str) -> str:
    """The text of an inline script: the module and these files, in the order of their imports."""
    body = module_source().replace(_LAST_EXPORT, "") + "\n\n".join(_joined(name) for name in more)
    return body.replace("</", "<\\/")


def page_module() -> str:
    """Text of the one script of an exported page; it finds its panels and their state in the page's record."""
    return _inline_module(*PAGE_MODULES)


def standalone_panels(panels: Sequence[Mapping[str, Any]]) -> list[str]:
    """HTML fragments, one a panel, of live panels on one page that need no kernel, no network and no other script.

    Each panel is a mapping with `data` (of `kit.panel.panel_data`), `weights` (weight name -> value, the setting shown
    first), `case` (title of the probed state shown first), `element_id` (unique on the page) and optionally `title`,
    `note` and `still` (of `Panel.still_html`: HTML, already escaped, that readers without JavaScript see).
    The style sheet comes with the first fragment, the module with the last one, so a page holds them once.

    Works under `default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:`.
    Raises ValueError for an id that is not a plain identifier or not unique, an unknown case or an unknown weight.
    """
    ids = [panel["element_id"] for panel in panels]
    if len(set(ids)) != len(ids):
        raise ValueError(f"element_id should be unique on a page. Found {', '.join(ids)}.")
    fragments = [_place(**panel) for panel in panels]
    if fragments:
        mounts = "\n".join(f'mount("{element_id}");' for element_id in ids)
        fragments[0] = f"<style>\n{stylesheet()}</style>\n" + fragments[0]
        fragments[-1] += f'<script type="module">\n{_inline_module("standalone.js")}\n{mounts}\n</script>\n'
    return fragments


def panel_page(record: Mapping[str, Any], still: str) -> str:
    """A whole page with one panel, of `Panel.to_record` and `Panel.still_html`; nothing in it has an address."""
    shown = standalone_panel(
        record["data"],
        record["weights"],
        record["case"],
        "panel",
        title=record["title"],
        note=record["note"],
        still=still,
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(record['title'])}</title>\n</head>\n<body>\n{shown}</body>\n</html>\n"
    )


def standalone_panel(
    data: Mapping[str, Any],
    weights: Mapping[str, float],
    case: str,
    element_id: str,
    *,
    title: str = "",
    note: str = "",
    still: str = "",
) -> str:
    """The fragment of a page with one panel; see `standalone_panels`."""
    texts = {"title": title, "note": note, "still": still}
    return standalone_panels([{"data": data, "weights": weights, "case": case, "element_id": element_id, **texts}])[0]


def _place(
    data: Mapping[str, Any],
    weights: Mapping[str, float],
    case: str,
    element_id: str,
    title: str = "",
    note: str = "",
    still: str = "",
) -> str:
    """Where one panel is drawn, and its state as JSON."""
    if not _ELEMENT_ID.fullmatch(element_id):
        raise ValueError(
            f"element_id should be letters, digits, - and _ after a letter. Found element_id = {element_id!r}."
        )
    _check_known("case", [case], [known["title"] for known in data["cases"]])
    _check_known("weights", list(weights), data["weight_names"])
    state = {
        "data": dict(data),
        "weights": {name: float(value) for name, value in weights.items()},
        "case": case,
        "title": title,
        "note": note,
        "status": "",
        "can_export": False,
    }
    without = f'<div class="kit-still">{still}</div>' if still else "The sliders need JavaScript."
    return (
        f'<div id="{html.escape(element_id)}"><noscript>{without}</noscript></div>\n'
        f'<script type="application/json" id="{element_id}-data">{script_json(state)}</script>\n'
    )


def _check_known(what: str, asked: Sequence[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            raise ValueError(
                f"{what} should be known to the panel. Found {name!r}; known are {', '.join(map(repr, known))}."
            )
