"""What the kernel behind a notebook says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_RUN = """async code => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({ code, store_history: false });
  let text = '';
  future.onIOPub = m => {
    if (m.header.msg_type === 'stream') text += m.content.text;
    if (m.header.msg_type === 'error') text += m.content.ename + ': ' + m.content.evalue };
  await future.done;
  return text }"""


def in_kernel(page: Any, code: str) -> str:
    """What the notebook's kernel prints for this code."""
    return page.evaluate(_RUN, code).strip()


def until(page: Any, true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Waits until it is true; the page lives on meanwhile."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        page.wait_for_timeout(50)


def until_in_kernel(page: Any, expression: str, seconds: float = 30.0) -> None:
    """Waits until the kernel finds the expression true."""
    end = time.monotonic() + seconds
    while (said := in_kernel(page, f"print(bool({expression}))")) != "True":
        assert time.monotonic() < end and "Error" not in said, f"{expression}: {said}"
        page.wait_for_timeout(100)
