"""`python -m fakes.agent_process`: one scriptable agent as a process, so that it can be killed and made to stand still.

The first line of stdin is a JSON object: `name`, `host`, `port`, `behaviours` (`behaviour_json`), `contacts` (how many
it has had before a restart). Then each line of stdout is a JSON object: first `{"port": n}` when it listens, then
what it saw, each with `at_s`, the reading of `time.monotonic`. It ends when stdin does, so it never outlives its owner.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from fakes.agent import Agent, AgentSaw
from fakes.behaviour_json import decode


def _tell(fact: dict[str, Any]) -> None:
    # Written out at once: whoever kills this process still learns of all that came before.
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def _observe(saw: AgentSaw) -> None:
    _tell({**asdict(saw), "at_s": time.monotonic()})


async def serve(order: dict[str, Any]) -> None:
    """Run the agent until stdin ends. Raises OSError if it cannot listen."""
    loop = asyncio.get_running_loop()
    owner_left = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), owner_left.set)
    agent = Agent(order["name"], behaviours=decode(order["behaviours"]), observe=_observe, contacts=order["contacts"])
    await agent.start(order["host"], order["port"])
    _tell({"port": agent.port})
    await owner_left.wait()
    loop.remove_reader(sys.stdin.fileno())
    await agent.stop()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
