"""An exported page, taken apart."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text, self._raw = [], "", 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._raw += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._raw -= tag in ("script", "style")

    def handle_data(self, data):
        self.text += "" if self._raw else data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def record_of(html: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="kit-data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)
