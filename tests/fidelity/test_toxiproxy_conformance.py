"""Our server gives the answers that Toxiproxy's own server gave, and Toxiproxy's own server still gives them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .toxiproxy_answers import conversation, recorded
from .toxiproxy_servers import HOW_TO_GET, Kind, Server, real_program, running

KINDS = (
    pytest.param("ours"),
    pytest.param("real", marks=pytest.mark.skipif(real_program() is None, reason=HOW_TO_GET)),
)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind: Kind = request.param
    with running(kind, "-proxy-metrics", "-runtime-metrics") as server:
        yield server


def test_every_answer_is_that_of_the_original(server: Server) -> None:
    expected = recorded()
    assert len(expected) > 150
    wrong = [
        f"{request}\n  expected {answer}\n  was      {was}"
        for (request, was), (asked, answer) in zip(conversation(server), expected, strict=True)
        if (request, was) != (asked, answer)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_browser_is_turned_away_where_there_is_a_route(server: Server) -> None:
    browser = {"User-Agent": "Mozilla/5.0 (X11; Linux)"}
    refused = server.ask("GET", "/proxies", headers=browser)
    assert (refused.status, refused.body) == (403, b"User agent not allowed\n")
    assert dict(refused.headers)["Content-Type"] == "text/plain; charset=utf-8"
    assert server.ask("GET", "/nothing", headers=browser).status == 404
    assert server.ask("DELETE", "/proxies", headers=browser).status == 405
    assert server.ask("GET", "/proxies", headers={"User-Agent": "x Mozilla/5.0"}).status == 200


def test_metrics_are_served_to_any_method(server: Server) -> None:
    for method in ("GET", "POST"):
        answer = server.ask(method, "/metrics")
        assert answer.status == 200
        assert dict(answer.headers)["Content-Type"].startswith("text/plain; version=0.0.4; charset=utf-8")
        assert b"\nprocess_resident_memory_bytes " in answer.body
    wanted = server.ask("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert wanted.status == 200
