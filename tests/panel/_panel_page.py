"""A page with panels as the export writes it: one file, under a policy that forbids every request."""

from __future__ import annotations

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_page(path, *fragments):
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title><meta '
        f'http-equiv="Content-Security-Policy" content="{POLICY}"></head><body>'
        + "".join(fragments)
        + "</body></html>",
        encoding="utf-8",
    )
    return path
