"""The one module text and the style sheet: valid, self-contained, without an address."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from kit.panel import module_source, panel_data, standalone_panel, stylesheet
from kit.panel.assets import script_json
from kit.plots import palette
from tests.panel._node import node
from tests.panel._panel_cases import HOSTILE, WEIGHT_NAMES, WEIGHTS, make_report


def fragment(**changes):
    asked = {"weights": dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True)), "case": "as probed", "element_id": "panel-1"}
    return standalone_panel(panel_data(make_report(0)), **{**asked, **changes})


def test_the_module_is_valid_javascript(tmp_path):
    file = tmp_path / "panel.mjs"
    file.write_text(module_source(), encoding="utf-8")
    done = subprocess.run([node(), "--check", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_module_is_one_text_with_one_export_and_no_import():
    text = module_source()
    assert re.findall(r"^export .*", text, re.MULTILINE) == ["export default { render };"]
    assert not re.search(r"^import\b", text, re.MULTILINE)


def test_no_address_but_the_svg_namespace_and_nothing_that_runs_text():
    for text in (module_source(), stylesheet(), fragment()):
        assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}
        assert not re.search(r"(inner|outer|Adjacent)HTML|\beval\(|new Function|\bfetch\(|@import|url\(", text)
    assert "</style" not in stylesheet().lower()


def test_every_class_of_the_style_sheet_is_ours():
    text = re.sub(r"/\*.*?\*/", "", stylesheet(), flags=re.DOTALL)
    selectors = re.findall(r"([^{}]+)\{", text)
    classes = {
        name
        for selector in selectors
        if not selector.strip().startswith("@")
        for name in re.findall(r"\.([A-Za-z][\w-]*)", selector)
    }
    assert {name for name in classes if not name.startswith("kit-")} <= {
        "vscode-dark",
        "vscode-light",
        "vscode-high-contrast-light",
        *("jp-OutputArea", "jp-OutputArea-output", "jp-OutputArea-child", "jp-Cell", "jp-Cell-outputArea"),
        "jp-mod-outputsScrolled",
    }
    theirs = [line for line in text.splitlines() if ".jp-" in line]
    assert theirs and all(":has(.kit-readout)" in line for line in theirs), "only around what is ours"


def test_colours_come_from_one_file():
    colours = palette()
    assert len(set(colours["terms"])) == len(colours["terms"]) >= 7
    for hue in colours["terms"]:
        assert hue in module_source()
    assert colours["agree"].lower() in stylesheet() and colours["conflict"].lower() in stylesheet()


def test_json_in_a_script_element_cannot_close_it_and_comes_back_whole():
    text = script_json({"names": HOSTILE})
    assert "<" not in text and text.isascii()
    assert json.loads(text)["names"] == list(HOSTILE)
    with pytest.raises(ValueError, match="JSON compliant"):
        script_json(float("nan"))


def test_only_our_own_tags_close_in_the_fragment():
    report = make_report(0, names=HOSTILE, weight_names=HOSTILE)
    text = standalone_panel(panel_data(report), dict.fromkeys(HOSTILE, 0.0), "as probed", "p", title=HOSTILE[0])
    assert text.count("</script") == 2 and text.count("<script") == 2 and "<!--" not in text


def test_the_dark_colours_stand_once():
    for hue in ("#14171b", "#e9ecef", "#6cbdec", "#3a9fdc", "#e8792b", "#ff9d5c"):
        assert stylesheet().count(hue) == 1, hue
    for name in ("--jp-layout-color0", "--jp-content-font-color0"):
        assert stylesheet().count(f"var({name},") == 1, name


def test_without_javascript_there_is_a_still_view_or_a_sentence():
    assert "<noscript>The sliders need JavaScript.</noscript>" in fragment()
    text = fragment(still="<figure>still</figure>")
    assert '<noscript><div class="kit-still"><figure>still</figure></div></noscript>' in text
    assert "still</figure>" not in text.split("</noscript>")[1].split("<style")[0], "the still is no part of the state"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"element_id": 'a"b'}, "element_id should be letters"),
        ({"element_id": "1a"}, "element_id should be letters"),
        ({"case": "nobody"}, "case should be known.*'nobody'.*'as probed'"),
        ({"weights": {"lam_x": 1.0}}, "weights should be known.*'lam_x'.*'lam_cov'"),
    ],
)
def test_fragment_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        fragment(**changes)
