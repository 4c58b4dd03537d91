"""The live panel: sliders and plots that answer "what if this weight were different?" without running the network.

    panel = kit.Panel(report)      # in a notebook; panel.weights is the setting

The same drawing code, inlined by `standalone_panel`, is live in an exported page with no kernel and no network.
"""

from __future__ import annotations

from kit.panel.assets import (
    module_source,
    page_module,
    script_json,
    standalone_panel,
    standalone_panels,
    stylesheet,
)
from kit.panel.data import panel_data
from kit.panel.guess import Guess
from kit.panel.journal_view import JournalView
from kit.panel.presets import Preset, presets_of
from kit.panel.widget import Panel

__all__ = [
    "Guess",
    "JournalView",
    "Panel",
    "Preset",
    "module_source",
    "page_module",
    "panel_data",
    "presets_of",
    "script_json",
    "standalone_panel",
    "standalone_panels",
    "stylesheet",
]
