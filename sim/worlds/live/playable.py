"""What the live world cannot play, said by name before the run."""

from __future__ import annotations

from sim.scenario.model import Operation, Scenario, Send, Step, Together, Wait


def not_playable(scenario: Scenario, time_scale: float) -> str | None:
    """Why the live world cannot play a scenario at this pace; None: it can."""
    for operation in (operation for step in scenario.steps for operation in _operations(step)):
        if isinstance(operation, Send) and operation.expires_in_s is not None and time_scale != 1:
            return (
                f"{operation.op}: expires_in is told to the broker in the request, whose seconds are real ones; "
                "use --time-scale 1"
            )
    return None


def _operations(step: Step) -> tuple[Operation, ...]:
    match step.does:
        case Wait():
            return ()
        case Together(operations=operations):
            return operations
        case operation:
            return (operation,)
