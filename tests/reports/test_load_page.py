"""The HTML report of a load: whole, by itself, with every text escaped, whatever the load was like."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from reports.html import load_page
from reports.html.charts import WIDTH, Line, chart
from reports.load_model import Band, Depth, Gate, LoadReport, Second, Timing
from reports.load_text import render, render_json
from reports.model import Finding

EVIL = '</title><script>alert("x")</script>&\x1b[31m\u202e'

REPORT = LoadReport(
    scenario="blips",
    path="scenarios/load/blips.yaml",
    title="The database is away",
    verdict="failed",
    duration_s=10.0,
    lasted_s=14.0,
    workers=2,
    operations=1000,
    accepted=400,
    judged=420,
    judging_s=0.5,
    statuses={"completed": 399, "failed": 1},
    gates=(
        Gate(gate="p99", where="whole load", allowed="1 s", measured="2 s", held=False),
        Gate(gate="lost", where="whole load", allowed="0", measured="0", held=True),
        Gate(gate="p50", where="f1", allowed="1 s", measured="no answer", held=None),
    ),
    timings=(Timing(what="whole load", count=3, failed=1, p50_s=0.01, p95_s=None, p99_s=2.0, slowest_s=2.0),),
    actions=(Timing(what="delegate", count=3, failed=1, p50_s=0.01, p95_s=0.02, p99_s=2.0, slowest_s=2.0),),
    bands=(Band(what="down on broker-database", from_s=2.0, to_s=5.0), Band(what="kill agent:bob", from_s=6, to_s=6)),
    seconds=tuple(
        Second(
            at_s=second,
            asked=100,
            failed=second % 3,
            p50_s=None if second == 4 else 0.01,
            p99_s=None if second in (4, 6) else 0.1 * second,
            completed=90,
            failed_work=1,
        )
        for second in range(10)
    ),
    depths=tuple(Depth(at_s=number / 2, under_way=number, queued=3) for number in range(20)),
    violations={"INV-31": 1},
    findings=(Finding(invariant="INV-31", subject="w1-1", sentence="It has no inbox row", lines=("#0 ann calls",)),),
    reasons=("Locust worker 2 was killed by SIGKILL after 4.3 s",),
    not_observed=("INV-10",),
    replay="fumble load scenarios/load/blips.yaml",
    components={"postgres": "18.4"},
)
VOID = {"meta"}


class Nesting(HTMLParser):
    """Every element is closed in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Nesting:
    """The page, read."""
    nesting = Nesting()
    nesting.feed(page)
    nesting.close()
    assert not nesting.open
    return nesting


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    page = load_page.render(REPORT)
    seen = parsed(page).seen
    assert seen.count("svg") == 4 and seen.count("table") >= 5 and "script" not in seen
    assert not re.search(r"(?:src|href)=|url\(|https?://|@import", page)
    for said in ("failed", "INV-31", "It has no inbox row", "down on broker-database", "SIGKILL", "not judged", "18.4"):
        assert said in page


def test_what_comes_from_outside_is_text() -> None:
    evil = replace(
        REPORT,
        title=EVIL,
        path=EVIL,
        scenario=EVIL,
        statuses={EVIL: 1},
        bands=(Band(what=EVIL, from_s=0, to_s=1),),
        gates=(Gate(gate=EVIL, where=EVIL, allowed=EVIL, measured=EVIL, held=True),),
        findings=(Finding(invariant=EVIL, subject=EVIL, sentence=EVIL, lines=(EVIL,)),),
        violations={EVIL: 2},
        reasons=(EVIL,),
        not_observed=(EVIL,),
        replay=EVIL,
        components={EVIL: EVIL},
        timings=(replace(REPORT.timings[0], what=EVIL),),
    )
    page = load_page.render(evil)
    assert "script" not in parsed(page).seen and "<script" not in page
    assert "\x1b" not in page and "\u202e" not in page
    assert "\x1b" not in render(evil) and "\x1b" not in render_json(evil)


@pytest.mark.parametrize("what", ["nothing", "long"])
def test_a_load_of_any_length_has_a_page(what: str) -> None:
    if what == "nothing":
        report = replace(
            REPORT, seconds=(), depths=(), bands=(), timings=(), actions=(), gates=(), findings=(), lasted_s=0.0
        )
    else:
        seconds = tuple(replace(REPORT.seconds[number % 10], at_s=number) for number in range(36_000))
        depths = tuple(Depth(at_s=number / 2, under_way=1, queued=2) for number in range(72_000))
        report = replace(REPORT, seconds=seconds, depths=depths, lasted_s=36_000.0)
    page = load_page.render(report)
    parsed(page)
    assert len(page) < 300_000 and "nan" not in page and "inf" not in page


def test_a_chart_has_its_bands_its_gaps_and_round_numbers() -> None:
    line = Line("p99", [(0, 1.0), (1, 2.0), (2, None), (3, 7.3)])
    bands = [Band(what="f1: down", from_s=1, to_s=2), Band(what="f2: down", from_s=1.1, to_s=2)]
    svg = chart("Latency", [line], bands, load_s=8, lasted_s=10, said=lambda value: f"{value:g}")
    assert svg.count("<polyline") == 2 and svg.count('class="band"') == 2
    assert svg.count('class="end"') == 1
    assert ">f1</text>" in svg and ">f2</text>" not in svg  # one would be written over the other
    assert re.findall(r'text-anchor="end">([^<]+)<', svg) == ["0", "2", "4", "6", "8", "10 s"]
    assert re.findall(r'text-anchor="middle">([^<]+)<', svg) == ["0 s", "2 s", "4 s", "6 s", "8 s"]
    assert re.findall(r'x="([^"]+)"[^>]*text-anchor="end">10 s<', svg) == [str(WIDTH - 1)]  # or it would be cut off


@pytest.mark.parametrize("lasted_s", [0.3, 1.0, 13.7, 34.0, 99.9, 1833.0, 36_000.0])
def test_no_label_of_a_chart_stands_where_it_is_not_true(lasted_s: float) -> None:
    line = Line("p99", [(0, 1.0), (lasted_s, 2.0)])
    svg = chart("Latency", [line], [], load_s=lasted_s, lasted_s=lasted_s, said=str)
    places = re.findall(r'x="([\d.]+)" y="212" text-anchor="(?:middle|end)">([\d.]+) s<', svg)
    assert len(places) >= 3
    for at, told in places:
        right = 60 + (WIDTH - 70) * float(told) / lasted_s
        assert abs(float(at) - right) < 15 and float(told) <= lasted_s


def test_what_was_not_measured_is_said_instead_of_drawn() -> None:
    empty = chart("Latency", [Line("p99", [(0, None)])], [], load_s=1, lasted_s=1, said=str)
    assert "<svg" not in empty and "nothing was measured" in empty


def test_what_is_wrong_is_said_first() -> None:
    page = load_page.render(REPORT)
    before = page[: page.index("<section>")]
    assert "p99: 2 s, and 1 s is allowed (whole load)" in before and "INV-31 (1)" in before
    assert "incomplete, for a reason" in before
    assert "nothing was judged" in load_page.render(replace(REPORT, judged=0, violations={}))


def test_a_reason_of_several_lines_has_its_lines() -> None:
    page = load_page.render(replace(REPORT, reasons=("the broker is gone:\n  | its log",)))
    assert "the broker is gone:\n  | its log" in page


def test_the_text_says_the_same() -> None:
    said = render(REPORT)
    for words in (
        "FAILED blips",
        "1000 operations",
        "INV-31 It has no inbox row",
        "FAILED",
        "not judged",
        "again: fumble load",
    ):
        assert words in said
