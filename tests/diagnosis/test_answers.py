"""The other forms of an answer: JSON by its schema, SARIF at the lines of the program, Markdown that reads as it was written."""

from __future__ import annotations

import html.parser
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import mistune
import pytest
import torch
from jsonschema import Draft202012Validator

import kit
from kit.diagnosis import diagnose, exit_code
from kit.diagnosis.chain import NOT_OBSERVED, WORKING, Chain, Link
from kit.diagnosis.exit_status import EXIT_CODES
from kit.diagnosis.markdown import plain_text
from kit.diagnosis.places import place_in_folder
from kit.diagnosis.record import schema
from kit.hypotheses.checking import BROKEN, LINKS
from tests.diagnosis._programs import Loss, Program, removed, watched
from tests.diagnosis._runs import healthy, observed

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = (
    *("a|b", "<img src=x onerror=alert(1)>", "**bold**", "_x_ and a_b_c", "`code`", "[text](address)", "~~gone~~"),
    *(
        "# head",
        "- item",
        "+ item",
        "1. one",
        "2) two",
        "=====",
        "&lt;b&gt; & more",
        "$x$",
        "\\*",
        "***",
        "1.5 of 2",
        "-0.5",
    ),
)


class CutLoss(Loss):
    def forward(self, prediction, target):
        terms = self.components(prediction, target)
        return self.lam_rec * terms["rec"] + self.lam_kl * terms["kl"].detach()


@pytest.fixture(scope="module")
def found() -> dict[str, kit.Diagnosis]:
    """Of each verdict one diagnosis at least; and one with interventions."""
    rate = Program(lr=0.0)
    diagnoses = {
        "healthy": diagnose(watched(Program())),
        "nothing_found": diagnose(observed()),
        "unexplained": diagnose(healthy(val_loss=[2.0] * 3)),
        "not_a_fault": diagnose(healthy(loss=[0.0] * 12, train_loss=[0.0] * 3)),
        "wrong_number": diagnose(healthy(train_loss=[0.0] * 3)),
        "partly": diagnose(watched(Program(loss=CutLoss()))),
        "fault": diagnose(watched(rate, added=False)),
        "nan": diagnose(watched(Program(), poison=True)),
        "cleared": diagnose(watched(Program(), cleared=removed)),
        "also": diagnose(healthy(grad_nonfinite=[2] * 12, val_loss=[2.0] * 3, eval_forwards=[0] * 3)),
        "empty": diagnose(watched(Program(), empty=True)),
        "report": diagnose(kit.datasets.load_faulty_run()),
    }
    cleared = Program()
    diagnoses["confirmed"] = diagnoses["cleared"].confirm(
        cleared.model, cleared.loss, (cleared.batches[0], cleared.batches[0]), cleared.optimizer
    )
    return diagnoses


def test_every_verdict_has_an_exit_status(found):
    for verdict in EXIT_CODES:
        assert found[verdict].verdict == verdict
    codes = {name: exit_code(diagnosis) for name, diagnosis in found.items()}
    assert [name for name, code in codes.items() if code == 0] == ["healthy", "not_a_fault"]
    assert [name for name, code in codes.items() if code == 2] == ["nothing_found", "unexplained"]
    assert {*codes.values()} == {0, 1, 2}


# JSON


def test_the_schema_knows_every_link_state_and_verdict():
    known = schema()
    Draft202012Validator.check_schema(known)
    link = known["$defs"]["link"]["properties"]
    assert tuple(link["link"]["enum"]) == LINKS
    assert {*link["state"]["enum"]} == {WORKING, NOT_OBSERVED, *BROKEN}
    assert {*known["properties"]["verdict"]["enum"]} == {*EXIT_CODES}


def test_every_record_is_what_the_schema_says(found):
    checked = Draft202012Validator(schema())
    for name, diagnosis in found.items():
        record = diagnosis.to_dict()
        assert not [error.message for error in checked.iter_errors(record)], name
        assert json.loads(json.dumps(record, allow_nan=False)) == record, name
    for broken in ({"version": 2}, {"verdict": "ill"}, {"more": 1}, {"nothing_probability": 1.5}, {"chain": [{}]}):
        assert not checked.is_valid({**found["fault"].to_dict(), **broken})


def test_the_record_holds_the_chain_and_what_to_do(found):
    for name, diagnosis in found.items():
        record = diagnosis.to_dict()
        rows = [
            {key: row[key] for key in ("link", "path", "state", "said", "line", "behind")} for row in record["chain"]
        ]
        assert rows == diagnosis.chain.table.drop(columns=["first", "last"]).to_dict("records"), name
        assert [row["first"] for row in record["chain"]] == [link.first for link in diagnosis.chain.links]
        assert record["summary"] == str(diagnosis).split("\n")
        assert [entry["key"] for entry in record["named"]] == [cause.key for cause in diagnosis.named]
        assert all(entry["fix"] in str(diagnosis) for entry in record["named"])
    (second,) = found["also"].to_dict()["also_found"]
    assert second["key"] == "stale_validation" and "0 evaluation passes ran" in second["because"]
    (entry, _) = found["fault"].to_dict()["named"]
    assert entry["guard"] == found["fault"].guard() and [link["link"] for link in entry["links"]] == ["optimizer"]


def test_what_is_no_number_is_null():
    odd = replace(diagnose(healthy()), nothing_probability=math.nan, notes=("a \udcff name",))
    record = odd.to_dict()
    assert record["nothing_probability"] is None
    assert json.dumps(record, allow_nan=False, ensure_ascii=False).encode("utf-8")
    assert replace(odd, nothing_probability=math.inf).to_dict()["nothing_probability"] is None


# SARIF

_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_MESSAGE = {**_TEXT, "additionalProperties": False}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_LOCATION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "properties": {
                "artifactLocation": {"properties": {"uri": {"type": "string", "pattern": "^[A-Za-z0-9._~%/-]+$"}}},
                "region": {"properties": {"startLine": {"type": "integer", "minimum": 1}}},
            },
        }
    },
}
# what matters of SARIF 2.1.0 for what is written here, in our words
SARIF = {
    "type": "object",
    "additionalProperties": False,
    "required": ["$schema", "version", "runs"],
    "properties": {
        "$schema": {"type": "string"},
        "version": {"const": "2.1.0"},
        "runs": {
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {
                                        "uniqueItems": True,
                                        "items": {
                                            "required": ["id", "shortDescription", "fullDescription", "help"],
                                            "properties": {
                                                "shortDescription": _MESSAGE,
                                                "fullDescription": _MESSAGE,
                                                "help": {**_TEXT, "required": ["text", "markdown"]},
                                                "defaultConfiguration": {"properties": {"level": _LEVEL}},
                                                "properties": {
                                                    "properties": {"tags": {"type": "array", "uniqueItems": True}}
                                                },
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["ruleId", "ruleIndex", "level", "message"],
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": _LEVEL,
                                "message": _MESSAGE,
                                "locations": {"type": "array", "minItems": 1, "items": _LOCATION},
                            },
                        },
                    },
                },
            },
        },
    },
}


def test_sarif_has_a_result_for_each_cause_and_a_rule_for_each_result(found, monkeypatch):
    monkeypatch.chdir(ROOT)
    Draft202012Validator.check_schema(SARIF)
    for name, diagnosis in found.items():
        log = diagnosis.to_sarif()
        assert not [error.message for error in Draft202012Validator(SARIF).iter_errors(log)], name
        (run,) = log["runs"]
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        causes = [*(c.key for c in diagnosis.named), *(c.key for c, _ in diagnosis.also_found)]
        assert rules == causes and list(dict.fromkeys(r["ruleId"] for r in run["results"])) == causes, name
        assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
        assert bool(run["invocations"][0]["toolExecutionNotifications"]) is (not causes), "else the verdict is told"
        assert run["properties"]["verdict"] == diagnosis.verdict


def test_levels(found):
    def levels(name):
        return {result["ruleId"]: result["level"] for result in found[name].to_sarif()["runs"][0]["results"]}

    assert levels("fault") == {"zero_learning_rate": "error", "wrong_number": "error"}
    assert levels("also") == {"nan_gradients": "error", "stale_validation": "warning"}, "the second is not established"
    assert levels("partly") == {"graph_cut": "warning"}
    assert levels("not_a_fault") == {"constant_by_design": "note"}
    assert levels("healthy") == levels("nothing_found") == {}


def test_a_result_stands_on_the_line_that_is_at_fault(found, monkeypatch):
    """Second way: the line is read in the file."""

    def lines(name):
        for result in found[name].to_sarif()["runs"][0]["results"]:
            place = result["locations"][0]["physicalLocation"]
            text = Path(place["artifactLocation"]["uri"]).read_text(encoding="utf-8").split("\n")
            yield result["ruleId"], text[place["region"]["startLine"] - 1].strip()

    monkeypatch.chdir(ROOT)
    assert dict(lines("fault"))["zero_learning_rate"] == "self.optimizer.step()"
    assert '["kl"].detach()' in dict(lines("partly"))["graph_cut"]
    assert "self.model(x)" in dict(lines("fault"))["wrong_number"], "no line of its own: the first that is known"


def test_without_the_files_there_is_no_location(found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = found["fault"].to_sarif()["runs"][0]["results"]
    assert results and not any("locations" in result for result in results)


def test_braces_and_links_of_a_name_are_no_syntax(found):
    odd = Link("optimizer", "a {0} [b](c)", "zero", "its learning rate is 0")
    diagnosis = replace(found["fault"], chain=Chain((odd,)))
    said = diagnosis.to_sarif()["runs"][0]["results"][0]["message"]["text"]
    assert "a {{0}} [b] (c)" in said


def test_places_lie_in_the_working_folder(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / "a b").mkdir(parents=True)
    for file in (folder / "a b" / "train é.py", tmp_path / "outside.py"):
        file.write_text("x = 1\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    path = Path("a b/train é.py")
    assert place_in_folder("a b/train é.py:3") == place_in_folder(f"{folder / path}:3") == (path, 3)
    for line in (
        *("../outside.py:1", f"{tmp_path / 'outside.py'}:1", "nowhere.py:1", "a b:1", "a b/train é.py:0", "train.py"),
        *("", ":3", "a b/train é.py:x", "a\0b:1", f"{'x' * 5000}:1", f"a b/train é.py:{'9' * 5000}"),
    ):
        assert place_in_folder(line) is None, line
    link = Link("optimizer", "", "zero", "of 8 steps", line="a b/train é.py:1")
    odd = replace(diagnose(watched(Program(lr=0.0))), chain=Chain((link,)))
    (place,) = odd.to_sarif()["runs"][0]["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "a%20b/train%20%C3%A9.py"


# Markdown


class _Read(html.parser.HTMLParser):
    """The text and the tags of a rendered page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said, self.tags = "", set()
        self.feed(mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url"])(text))

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)

    def handle_data(self, data):
        self.said += data


@pytest.mark.parametrize("text", HOSTILE)
def test_text_reads_as_it_was_written(text):
    assert _Read(plain_text(text)).said.strip() == text
    assert _Read(plain_text(text)).tags == {"p"}
    cell = _Read(f"| a | b |\n| --- | --- |\n| {plain_text(text)} | 1 |\n")
    assert cell.tags == {"table", "thead", "tbody", "tr", "th", "td"} and text in cell.said
    assert _Read(f"- {plain_text(text)}").tags == {"ul", "li"}


def test_the_ticket_says_all_and_is_one_page(found):
    allowed = {"h2", "h3", "p", "strong", "ul", "li", "pre", "code", "table", "thead", "tbody", "tr", "th", "td"}
    for name, diagnosis in found.items():
        page = _Read(diagnosis.to_markdown())
        assert page.tags <= allowed | {"blockquote"}, name
        said = " ".join(page.said.split())
        for text in (*str(diagnosis).split("\n"), diagnosis.guard(), *(link.said for link in diagnosis.chain.links)):
            text = re.sub(r"^(What happens|Facts|What to do|And|Also established): ", "", text)
            assert " ".join(text.split()) in said, (name, text)
        assert all(f"{because}." in said for _, because in diagnosis.also_found)
        assert all(cause.hypothesis.proves_not in said for cause in diagnosis.named)
        assert diagnosis.to_markdown().count("```python") == bool(diagnosis.named)


def test_names_from_a_recording_are_escaped_in_the_ticket(found):
    links = tuple(Link("term", text, "detached", text, line=text) for text in HOSTILE)
    page = _Read(replace(found["partly"], chain=Chain(links), notes=HOSTILE).to_markdown())
    assert not page.tags & {"img", "a", "del", "em", "ol", "h1", "hr"}
    assert all(page.said.count(text) >= 4 for text in HOSTILE), "in the table three times, and as a note"
    steering = replace(found["healthy"], notes=("\x1b[31m red \udcff",)).to_markdown()
    assert "\x1b" not in steering and steering.encode("utf-8")


def test_a_trace_is_left_as_it_was(found):
    """Writing an answer computes nothing anew."""
    before = torch.get_rng_state()
    first = [make() for d in found.values() for make in (d.to_dict, d.to_sarif, d.to_markdown)]
    assert first == [make() for d in found.values() for make in (d.to_dict, d.to_sarif, d.to_markdown)]
    assert torch.equal(before, torch.get_rng_state())
