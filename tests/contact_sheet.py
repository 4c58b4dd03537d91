"""Every notebook, panel and page, light and dark, as small pictures on one page: to be looked at.

`python -m tests.contact_sheet` writes findings/contact_sheet.html and .png; it needs Chromium.
"""

from __future__ import annotations

import argparse
import base64
import html
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, sync_playwright

import kit
from kit.files import write_atomically
from tests.browser._findings import full_finding
from tests.browser._paint import painted
from tests.evidence import notebooks
from tests.panel._panel_cases import make_report

SCHEMES = ("light", "dark")
WIDTH, SHOWN = 1100, 360  # px of a page, and of its picture on the sheet
TALLEST = 2400  # px of a page that are shown


def written(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """(title, page, theme of nbconvert or "") of everything that is shown."""
    for path in notebooks():
        for scheme in SCHEMES:
            page = folder / f"{path.stem}-{scheme}.html"
            body, _ = HTMLExporter(theme=scheme).from_notebook_node(nbformat.read(path, as_version=4))
            page.write_text(body, encoding="utf-8")
            yield path.stem, page, scheme
    panel = folder / "panel.html"
    kit.Panel({"step 1": make_report(1), "step 51": make_report(2)}).write(panel)
    finding = folder / "finding.html"
    full_finding().write(finding)
    run = folder / "run.html"
    kit.write_html(run, kit.studies.diagnosis_finding(kit.diagnose(history := kit.datasets.load_faulty_run()), history))
    for page in (panel, finding, run):
        for scheme in SCHEMES:
            yield page.stem, page, scheme


def pictures(browser: Browser, folder: Path) -> Iterator[tuple[str, bytes]]:
    """(title and scheme, PNG)."""
    for title, path, scheme in written(folder):
        print(f"{title}, {scheme}", file=sys.stderr)
        page = browser.new_context(
            offline=True, color_scheme=scheme, viewport={"width": WIDTH, "height": 900}
        ).new_page()
        page.goto(path.as_uri())
        page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true })")
        painted(page)
        height = min(TALLEST, page.evaluate("() => document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height}
        yield f"{title}, {scheme}", page.screenshot(full_page=True, clip=clip)
        page.context.close()


def sheet(shown: list[tuple[str, bytes]]) -> str:
    figures = "\n".join(
        f'<figure><img width="{SHOWN}" alt="{html.escape(title)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{html.escape(title)}</figcaption></figure>"
        for title, png in shown
    )
    style = "body{display:flex;flex-wrap:wrap;gap:12px;align-items:start;font:14px sans-serif}figure{margin:0}img{border:1px solid #999}"
    return f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Contact sheet</title><style>{style}</style>\n{figures}</html>\n'


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.contact_sheet", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("findings/contact_sheet.html"))
    out = parser.parse_args().out
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print(
            "Chromium should be on the PATH. Found none; apt-get install chromium, or CHROMIUM=/path/to/it.",
            file=sys.stderr,
        )
        return 3
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        write_atomically(out, sheet(list(pictures(browser, Path(folder)))))
        page = browser.new_page(viewport={"width": 4 * (SHOWN + 14) + 20, "height": 900})
        page.goto(out.absolute().as_uri())
        painted(page)
        page.screenshot(path=out.with_suffix(".png"), full_page=True)
        browser.close()
    print(f"wrote {out} and {out.with_suffix('.png')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
