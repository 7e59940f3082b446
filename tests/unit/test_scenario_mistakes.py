"""Every mistake that a scenario can hold is named with its place, its cause and its cure, and all of them at once."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sim.scenario.loading import load_text
from sim.scenario.problems import Problem, ScenarioError

HEAD = """\
title: t
workspaces:
  ann: {delivery: poll}
  bob:
steps:
  - delegate: {from: ann, to: bob}
"""
LINE = HEAD.count("\n") + 1


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "case.yaml")
    return caught.value.problems


class Case(NamedTuple):
    """One line after `HEAD`, and its only mistake: where it is, what is said, what is proposed."""

    line: str
    marked: str
    message: str
    suggestion: str | None = None
    allowed: str = ""


LINKS = "client-broker, broker-database, broker-agent:ann, broker-agent:bob"
STEP_KINDS = "delegate, send, report, inbox, list, heartbeat, wait, together"
KINDS = "reply, slow, status, empty, partial, truncate, jsonrpc_error, garbage, cut, busy, restarting, hang"
TOXICS = "latency, bandwidth, slow_close, timeout, reset_peer, slicer, limit_data"
SECTIONS = "title, covers, workspaces, broker, settle, steps, faults, expect"

STEPS = [
    Case("- delgate: {from: ann, to: bob}", "delgate", "unknown key 'delgate' in a step", "delegate", STEP_KINDS),
    Case("- at: 2s", "at", "a step needs one of these keys", None, STEP_KINDS),
    Case("- bla", "bla", "expected a step, found 'bla'", None, STEP_KINDS),
    Case("- {inbox: {of: ann}, list: {of: ann}}", "list", "'inbox' and 'list' in a step: keep one of the two"),
    Case("- {inbox: {of: ann}, ta: 3s}", "ta", "unknown key 'ta' in a 'inbox' step", "at", "inbox, at"),
    Case("- inbox: {fo: ann}", "fo", "unknown key 'fo' in 'inbox'", "of", "as, of"),
    Case("- inbox: {}", "{}", "'inbox' needs 'of': The workspace whose inbox is read"),
    Case("- inbox: ann", "ann", "expected the keys of 'inbox', found 'ann'", None, "as, of"),
    Case("- inbox: {of: an}", "an}", "unknown workspace 'an'", "ann", "ann, bob"),
    Case("- inbox: {of: }", " }", "expected the name of a workspace, found nothing"),
    Case("- inbox: {as: D9, of: ann}", "D9", "expected a name of small letters, digits, - and _, beginning with a letter, found 'D9'"),
    Case("- inbox: {as: 'true', of: ann}", "'true'", "expected a name of small letters, digits, - and _, beginning with a letter, found 'true'"),
    Case("- delegate: {as: d1, from: ann, to: bob}", "d1", "an operation named 'd1' is in line 6 already: choose another 'as'"),
    Case("- delegate: {from: ann, to: bob, task: [a]}", "[a]", "expected a text, found a list"),
    Case("- report: {by: bob, delegation: d2}", "d2", "unknown operation 'd2'", None, "d1, u1"),
    Case("- report: {by: bob, delegation: u1}", "u1", "'u1' is a 'report', and a 'delegate' is needed here", None, "d1"),
    Case("- report: {by: bob, delegation: d1, status: complete}", "complete", "'complete' is not a status to report", "completed", "completed, failed"),
    Case(
        "- together: [{delegate: {from: ann, to: bob}}, {report: {by: bob, delegation: d2}}]",
        "d2",
        "'d2' starts in the same step, in line 7: report it in a step after that one",
    ),
    Case("- together: [{list: {of: ann}}]", "[", "expected at least 2 operations, found 1"),
    Case("- together: {list: {of: ann}}", "{list", "expected a list of operations, found a mapping"),
    Case("- together: [{wait: 3s}, {list: {of: ann}}]", "wait", "unknown key 'wait' in an operation", None, "delegate, send, report, inbox, list, heartbeat"),
    Case("- heartbeat: {of: bob, active_tasks: -1}", "-1", "expected a whole number from 0 to 1000, found -1"),
    Case("- heartbeat: {of: bob, active_tasks: many}", "many", "expected a whole number from 0 to 1000, found 'many'"),
    Case("- heartbeat: {of: bob, active_tasks: '1'}", "'1'", "expected a whole number from 0 to 1000, found '1'"),
    Case("- wait: 5", "5", "5 has no unit: write 5s"),
    Case("- wait: 0s", "0s", "expected a duration of more than nothing, found 0s"),
    Case("- wait: 5 sec", "5 sec", "expected a duration such as 100ms, 5s or 1m30s (units d, h, m, s, ms, us), found '5 sec'", "5s"),
    Case("- wait: -5s", "-5s", "expected a duration such as 100ms, 5s or 1m30s (units d, h, m, s, ms, us), found '-5s'"),
    Case("- wait: 3651d", "3651d", "3651d is longer than ten years"),
    Case("- {wait: 3s, at: soon}", "soon", "expected a duration such as 100ms, 5s or 1m30s (units d, h, m, s, ms, us), found 'soon'"),
]  # fmt: skip

FAULTS = [
    Case("- {at: 1s, toxic: {type: reset_pear, link: client-broker}}", "reset_pear", "'reset_pear' is not a toxic", "reset_peer", TOXICS),
    Case("- {at: 1s, toxic: {link: client-broker}}", "{link", "a toxic needs 'type'", None, TOXICS),
    Case("- {at: 1s, toxic: {type: reset_peer}}", "{type", "on which link? The trigger names none, so the toxic needs 'link'", None, LINKS),
    Case("- {on: {operation: d1, point: request_sent}, toxic: {type: reset_peer}}", "{type", "on which link? The trigger names none, so the toxic needs 'link'", None, LINKS),
    Case("- {at: 1s, toxic: {type: latency, link: client-broker}}", "{type", "a 'latency' toxic needs 'latency': Delay of every chunk"),
    Case("- {at: 1s, toxic: {type: latency, link: client-broker, latency: 300}}", "300", "300 has no unit: write 300ms"),
    Case("- {at: 1s, toxic: {type: latency, link: client-broker, latency: 1us}}", "1us", "expected a whole number of ms, as Toxiproxy counts them, found '1us'"),
    Case("- {at: 1s, toxic: {type: latency, link: client-broker, latency: 1s, dealy: 2s}}", "dealy", "unknown key 'dealy' in a 'latency' toxic", None, "type, link, stream, toxicity, latency, jitter"),
    Case("- {at: 1s, toxic: {type: slicer, link: client-broker, average_size: 10, delay: 20}}", "20", "20 has no unit: write 20us"),
    Case("- {at: 1s, toxic: {type: slicer, link: client-broker, average_size: 0}}", "0}", "expected a number of bytes from 1 to 1000000000, found 0"),
    Case("- {at: 1s, toxic: {type: slicer, link: client-broker, average_size: 4, size_variation: 4}}", "4}", "size_variation 4 must be smaller than average_size 4"),
    Case("- {at: 1s, toxic: {type: bandwidth, link: client-broker, rate: 10}}", "10", "10 has no unit: write 10KB/s"),
    Case("- {at: 1s, toxic: {type: bandwidth, link: client-broker, rate: 0KB/s}}", "0KB", "a rate of 0 never moves a byte: use {type: timeout, timeout: 0s} for silence"),
    Case("- {at: 1s, toxic: {type: bandwidth, link: client-broker, rate: fast}}", "fast", "expected a rate such as 10KB/s or 1MB/s, found 'fast'"),
    Case("- {at: 1s, toxic: {type: reset_peer, link: client-broker, toxicity: 1.5}}", "1.5", "expected a number more than 0 and at most 1, found '1.5'"),
    Case("- {at: 1s, toxic: {type: reset_peer, link: client-broker, toxicity: 0}}", "0}", "expected a number more than 0 and at most 1, found '0'"),
    Case("- {at: 1s, toxic: {type: reset_peer, link: client-broker, stream: up}}", "up", "'up' is not a stream", None, "upstream, downstream"),
    Case("- {at: 1s, down: broker-databse}", "broker-databse", "unknown link 'broker-databse'", "broker-database", LINKS),
    Case("- {at: 1s, down: broker-agent:bbo}", "broker-agent:bbo", "unknown link 'broker-agent:bbo'", "broker-agent:bob", LINKS),
    Case("- {at: 1s, down: client-broker, restart_after: 3s}", "restart_after", "no 'restart_after' in a 'down' fault: only a killed node starts again; how long this lasts is said by 'for'"),
    Case("- {at: 1s, kill: database}", "database", "unknown node 'database'", None, "broker, agent:ann, agent:bob"),
    Case("- {at: 1s, kill: broker, for: 3s}", "for", "no 'for' in a 'kill' fault: a killed node comes back by 'restart_after'"),
    Case("- {at: 1s, pause: broker}", "{at", "a 'pause' fault needs 'for': How long it stands still"),
    Case("- {at: 1s, pause: broker, for: 3s, restart_after: 3s}", "restart_after", "no 'restart_after' in a 'pause' fault: only a killed node starts again; how long this lasts is said by 'for'"),
    Case("- {at: 1s, disconnect: d1, for: 3s}", "for", "no 'for' in a 'disconnect' fault: a disconnect happens in one instant"),
    Case("- {at: 1s, disconnect: d1, restart_after: 3s}", "restart_after", "no 'restart_after' in a 'disconnect' fault: a disconnect happens in one instant"),
    Case("- {at: 1s, disconnect: d7}", "d7", "unknown operation 'd7'", None, "d1"),
    Case("- {at: 1s, disconnect: {operation: d1, ending: rst}}", "rst", "'rst' is not an ending", "reset", "close, reset"),
    Case("- {kill: broker}", "{kill", "a 'kill' fault needs one of 'at' or 'on'"),
    Case("- {at: 1s, kill: broker, on: {link: client-broker, request: 1}}", "on", "a 'kill' fault has 'at' already: keep one of the two"),
    Case("- {at: 1s}", "{at", "a fault needs one of these keys", None, "toxic, down, kill, pause, disconnect"),
    Case("- {at: 1s, kill: broker, pause: broker}", "pause", "'kill' and 'pause' in a fault: keep one of the two"),
    Case("- {on: {link: client-broker, commit: 1}, kill: broker}", "client-broker", "queries and commits pass on the database link only, not on 'client-broker'", None, "broker-database"),
    Case("- {on: {link: broker-agent:bob, query: 1}, kill: broker}", "broker-agent", "queries and commits pass on the database link only, not on 'broker-agent:bob'", None, "broker-database"),
    Case("- {on: {link: broker-database, request: 1}, kill: broker}", "broker-database", "requests, responses and statuses pass on HTTP links only, not on 'broker-database'", None, "client-broker, broker-agent:ann, broker-agent:bob"),
    Case("- {on: {link: broker-database, status: 503}, kill: broker}", "broker-database", "requests, responses and statuses pass on HTTP links only, not on 'broker-database'", None, "client-broker, broker-agent:ann, broker-agent:bob"),
    Case("- {on: {link: broker-databas, commit: 1}, kill: broker}", "broker-databas", "unknown link 'broker-databas'", "broker-database", "broker-database"),
    Case("- {on: {link: broker-database, commit: 0}, kill: broker}", "0}", "expected a whole number from 1 to 1000000, found 0"),
    Case("- {on: {link: broker-database, comit: 1}, kill: broker}", "comit", "unknown key 'comit' in a trigger", "commit", "request, response, status, query, commit, operation"),
    Case("- {on: {link: broker-database}, kill: broker}", "{link", "a trigger needs one of these keys", None, "request, response, status, query, commit, operation"),
    Case("- {on: {link: broker-database, query: 1, nth: 2}, kill: broker}", "2}", "'query' is a number already: 'nth' goes with a text to look for, query: \"UPDATE ...\""),
    Case("- {on: {link: client-broker, request: 1, after_bytes: 3}, kill: broker}", "after_bytes", "unknown key 'after_bytes' in a 'request' trigger", None, "link, request"),
    Case("- {on: {link: client-broker, status: 42}, kill: broker}", "42", "expected a whole number from 100 to 599, found 42"),
    Case("- {on: {operation: d1}, kill: broker}", "{operation", "an 'operation' trigger needs 'point': ... has come to this point"),
    Case("- {on: {operation: d1, point: after_response}, kill: broker}", "after_response", "'after_response' is not a point of an operation", "mid_response", "mid_request, request_sent, mid_response, response_read"),
    Case("- {on: commit, kill: broker}", "commit", "expected a trigger, found 'commit'", None, "request, response, status, query, commit, operation"),
]  # fmt: skip

WORKSPACES = [
    Case("eve: {delivery: pol}", "pol", "'pol' is not a delivery", "poll", "push, poll"),
    Case("eve: push", "push", "expected the keys of a workspace, found 'push'", None, "delivery, agent"),
    Case("Eve: {}", "Eve", "expected a name of small letters, digits, - and _, beginning with a letter, found 'Eve'"),
    Case("ann: {}", "ann", "key 'ann' is here twice, first in line 3"),
    Case("eve: {agent: []}", "[]", "expected at least 1 behaviours, found 0"),
    Case("eve: {agent: buzy}", "buzy", "'buzy' is not a behaviour", "busy", KINDS),
    Case("eve: {agent: {busy: 1}}", "busy", "'busy' takes no value: write the word alone"),
    Case("eve: {agent: partial}", "partial", "'partial' needs a value: write {partial: ...}"),
    Case("eve: {agent: {partial: most}}", "most", "expected half, all or a number of bytes from 0 to 10000000, found 'most'"),
    Case("eve: {agent: {repli: done}}", "repli", "unknown key 'repli' in a behaviour", "reply", KINDS),
    Case("eve: {agent: {reply: a, slow: b}}", "slow", "'reply' and 'slow' in a behaviour: keep one of the two"),
    Case("eve: {agent: {reply: a, duration: 3s}}", "duration", "unknown key 'duration' in a 'reply' behaviour", None, "reply, after"),
    Case("eve: {agent: {status: 99}}", "99", "expected an HTTP status from 200 to 599, found 99"),
    Case("eve: {agent: {empty: 500}}", "500", "expected a 2xx status from 200 to 299, found 500"),
]  # fmt: skip

EXPECT = [
    Case("d2: {answer: 202}", "d2", "unknown operation 'd2'", None, "d1"),
    Case("d1: {answer: 99}", "99", "expected none or an HTTP status from 100 to 599, found 99"),
    Case("d1: {status: complete}", "complete", "'complete' is not a state of a delegation", "completed", "completed, failed, queued, pending, dispatched, in_progress, stuck, none"),
    Case("d1: {inbox: okay}", "okay", "'okay' is not an inbox row", "ok", "ok, error, none"),
    Case("d1: {deliveries: []}", "[]", "expected at least 1 numbers, found 0"),
    Case("d1: {deliverys: 1}", "deliverys", "unknown key 'deliverys' in an expectation", "deliveries", "answer, status, deliveries, inbox, detail, text"),
    Case("d1: ", "", "expected the keys of an expectation, found nothing", None, "answer, status, deliveries, inbox, detail, text"),
]  # fmt: skip

TOP = [
    Case("setle: 1h", "setle", "unknown key 'setle' in a scenario", "settle", SECTIONS),
    Case("settle: 3600", "3600", "3600 has no unit: write 3600s"),
    Case("covers: INV-30", "INV-30", "expected a list of ids, found 'INV-30'"),
    Case("covers: [inv30]", "inv30", "expected an id such as INV-30, H68 or D4, found 'inv30'"),
    Case("title: again", "title", "key 'title' is here twice, first in line 1"),
    Case("broker: {retry delay: 8s}", "retry", "a setting is named in small letters, digits and _: 'retry delay'"),
    Case("broker: {retry_delay: 8 sec}", "8 sec", "expected a duration such as 100ms, 5s or 1m30s (units d, h, m, s, ms, us), found '8 sec'", "8s"),
    Case("broker: {retry_delay: [8s]}", "[8s]", "expected a number, true, false, a text or a duration, found a list"),
    Case("broker: fast", "fast", "expected broker settings, such as retry_delay: 8s, found 'fast'"),
    Case("faults:", "", "expected a list of faults, found nothing"),
    Case("expect: [d1]", "[d1]", "expected a mapping from names to expectations, found a list"),
]  # fmt: skip


def check(text: str, case: Case, line: int) -> None:
    (problem,) = problems_of(text)
    written = text.split("\n")[line - 1]
    column = written.index(case.marked, written.index(case.line)) + 1 if case.marked else len(case.line.rstrip()) + 1
    assert (problem.message, problem.suggestion, ", ".join(problem.allowed)) == (case.message, case.suggestion, case.allowed)
    assert problem.source_line == written
    if case.marked:
        assert (problem.line, problem.column) == (line, column)


def named(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.line)


@named(STEPS)
def test_a_mistake_in_a_step(case: Case) -> None:
    check(f"{HEAD}  {case.line}\n", case, LINE)


@named(FAULTS)
def test_a_mistake_in_a_fault(case: Case) -> None:
    check(f"{HEAD}faults:\n  {case.line}\n", case, LINE + 1)


@named(WORKSPACES)
def test_a_mistake_in_a_workspace(case: Case) -> None:
    check(HEAD.replace("  bob:\n", f"  bob:\n  {case.line}\n"), case, 5)


@named(EXPECT)
def test_a_mistake_in_an_expectation(case: Case) -> None:
    check(f"{HEAD}expect:\n  {case.line}\n", case, LINE + 1)


@named(TOP)
def test_a_mistake_in_a_section(case: Case) -> None:
    check(f"{HEAD}{case.line}\n", case, LINE)
