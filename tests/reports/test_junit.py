"""JUnit XML is read back with a parser: what CI servers see."""

from __future__ import annotations

from xml.etree import ElementTree as xml

from reports import junit
from reports.model import Summary

from .reports_made import hostile, run, three


def properties(case: xml.Element) -> dict[str, str]:
    return {each.attrib["name"]: each.attrib["value"] for each in case.iterfind("properties/property")}


def test_a_suite_is_a_family_and_a_test_a_scenario() -> None:
    root = xml.fromstring(junit.render(three()))
    assert root.attrib == {"name": "fumble", "tests": "3", "failures": "1", "errors": "1", "time": "0.160"}
    found = [(suite.attrib["name"], [case.attrib["name"] for case in suite]) for suite in root]
    assert found == [("terminal", ["lost_ack", "never_struck"]), ("happy", ["all_well"])]


def test_a_failure_has_its_sentence_its_seed_and_its_replay_command() -> None:
    case = xml.fromstring(junit.render(three())).find("testsuite/testcase[@name='lost_ack']")
    assert case is not None and case.attrib["classname"] == "terminal" and case.attrib["time"] == "0.080"
    said = properties(case)
    assert (said["seed"], said["seeds_passed"], said["trace_hash"]) == ("2", "1/2", "c0ffee")
    assert said["replay"] == "fumble run scenarios/terminal/lost_ack.yaml --seed 7"
    failure = case.find("failure")
    assert failure is not None and failure.attrib == {"type": "INV-30", "message": "d1 ended twice"}
    assert failure.text is not None and failure.text.endswith(said["replay"])


def test_inconclusive_is_an_error_and_never_skipped() -> None:
    case = xml.fromstring(junit.render(three())).find("testsuite/testcase[@name='never_struck']")
    assert case is not None and case.find("skipped") is None and case.find("failure") is None
    error = case.find("error")
    assert error is not None and error.attrib == {"type": "inconclusive", "message": "fault f1 never began"}


def test_a_passed_test_has_no_problem() -> None:
    case = xml.fromstring(junit.render(Summary((run(),)))).find("testsuite/testcase")
    assert case is not None and [child.tag for child in case] == ["properties"]


def test_hostile_text_stays_text() -> None:
    document = junit.render(Summary((hostile(),)))
    root = xml.fromstring(document.encode("utf-8"))
    assert len(list(root.iter("failure"))) == 1
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None and failure.text is not None
    assert failure.attrib["message"].startswith("]]> <failure/> & \"quoted\" 'single' \\x1b[31mred")
    assert "猫" in failure.text and "\x1b" not in failure.text
    case = root.find("testsuite/testcase")
    assert case is not None and "\ufffd" in case.attrib["name"] and "\x00" not in case.attrib["name"]
