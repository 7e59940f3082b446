"""What a scenario tells an agent to do, in the terms in which the agent does it.

A scenario states less (no statuses, no shapes of replies): each of its behaviours is one of the agent's with defaults.
"""

from __future__ import annotations

from typing import assert_never

from fakes import behaviours as agent
from sim.scenario import behaviours as scenario


def from_scenario(told: scenario.Behaviour) -> agent.Behaviour:
    """The agent's behaviour for one of a scenario."""
    match told:
        case scenario.Reply():
            return agent.Reply(told.text, told.after_s)
        case scenario.Slow():
            return agent.Slow(told.text, told.duration_s, told.pieces)
        case scenario.Busy():
            return agent.Busy()
        case scenario.Restarting():
            return agent.Restarting()
        case scenario.Status():
            return agent.Status(told.code, told.body)
        case scenario.Empty():
            return agent.Empty(told.code)
        case scenario.Partial():
            return agent.Partial(told.body, told.ending, told.text)
        case scenario.Truncate():
            return agent.Truncate(told.body, told.ending, told.text)
        case scenario.Hang():
            return agent.Hang()
        case scenario.JsonRpcError():
            return agent.JsonRpcError(told.code, told.message)
        case scenario.Garbage():
            return agent.Garbage(told.text)
        case scenario.Cut():
            return agent.ResetOnRequest(told.when == "before_body", told.ending)
    assert_never(told)
