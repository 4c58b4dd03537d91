"""The pytest fixture ``kit_watch``: a training in a test is watched, and a finding fails the test with the diagnosis as its message.

    def test_one_epoch(kit_watch):
        with kit_watch(model, loss=loss) as run:
            train(model, loader)
        run.log(train_loss=[...])                          # optional: what was displayed

pytest finds it by its entry point. Neither torch nor the rest of the kit is imported before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kit.diagnosis import Diagnosis
    from kit.recording.watching import Watch

_SECTION, _UNSURE = "kit_watch", "could not be judged"
_WATCHED = pytest.StashKey[list[tuple[Any, frozenset[str]]]]()  # of a test: what it watches, and which causes it allows


@pytest.fixture
def kit_watch(request: pytest.FixtureRequest) -> Generator[Callable[..., Watch], None, None]:
    """Watch a training: ``with kit_watch(model, loss=loss) as run: train()``. A finding fails the test.

    Arguments are those of ``kit.watch``, and ``allow``: keys of causes that are accepted (`python -m kit causes` lists them).
    The run is diagnosed when the test has ended well; what could not be judged passes and is listed at the end of the session. A
    test that fails for another reason keeps its error, with what was found beside it.
    """
    watched = request.node.stash[_WATCHED] = []

    def start(model: Any = None, *, allow: Iterable[str] = (), **options: Any) -> Watch:
        from kit import watch
        from kit.hypotheses import ALL, find_cause

        if isinstance(allow, str):
            raise TypeError(
                f"allow should be keys of causes in a list. Found allow = {allow!r}; pass allow=[{allow!r}]."
            )
        allowed = frozenset(find_cause(key, ALL).key for key in allow)
        run = watch(model, **options)
        watched.append((run, allowed))
        return run

    yield start
    watched.clear()  # a test stays until the session ends


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    try:
        result = yield
    except (Exception, pytest.fail.Exception):
        _add_sections(item)
        raise
    findings = []
    for found, allowed in _diagnoses(item):
        if _code(found) == 1 and not {cause.key for cause in found.named} <= allowed:
            findings.append(_said(found))
        elif _code(found) == 2:
            _add_section(item, f"The training {_UNSURE}.\n{found}")
    if findings:
        pytest.fail("\n\n".join(findings), pytrace=False)
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each test that passed without a judgement of its training."""
    for report in terminalreporter.stats.get("passed", ()):
        for title, said in report.sections:
            if title == f"Captured {_SECTION} call" and _UNSURE in said:
                first = said.split("\n")[1]
                terminalreporter.write_line(
                    f"kit_watch: the training in {report.nodeid} {_UNSURE}: {first}", yellow=True
                )


def _diagnoses(item: pytest.Item) -> list[tuple[Diagnosis, frozenset[str]]]:
    watched = item.stash.get(_WATCHED, None)
    if not watched:
        return []
    from kit.diagnosis import diagnose

    return [(diagnose(run.trace), allowed) for run, allowed in watched]


def _said(found: Diagnosis) -> str:
    """The first lines of the diagnosis, and where it is."""
    lines = dict.fromkeys(link.line for cause in found.named for link in found.broken_by(cause) if link.line)
    return "\n".join([str(found), *([f"Where: {', '.join(lines)}."] if lines else [])])


def _code(found: Diagnosis) -> int:
    from kit.diagnosis import exit_code

    return exit_code(found)


def _add_sections(item: pytest.Item) -> None:
    """Beside the test's own error, which stays the one that is reported."""
    try:
        said = [_said(found) for found, _ in _diagnoses(item) if _code(found) == 1]
    except Exception as error:  # noqa: BLE001 - whatever the reason, the test's own error must not be replaced
        said = [f"The training {_UNSURE}: {error}"]
    for text in said:
        _add_section(item, text)


def _add_section(item: pytest.Item, text: str) -> None:
    item.add_report_section("call", _SECTION, text)
