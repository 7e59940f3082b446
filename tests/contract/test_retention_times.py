"""When activity is pruned: soon after the start, then at its interval; days of waiting, in virtual time."""

from __future__ import annotations

from tests.contract.virtual import Base, virtual_broker
from tests.contract.world import BOB

HOUR_S = 3600.0
ADD_OLD = f"""
INSERT INTO activity_logs (id, workspace_id, activity_type, status, created_at)
VALUES (gen_random_uuid(), '{BOB}', 'agent_log', 'ok', '1999-12-31T00:00:00Z')
"""
COUNT = "SELECT id FROM activity_logs"


def test_activity_is_pruned_four_minutes_after_the_start_and_then_every_six_hours(virtual_base: Base) -> None:
    def left() -> int:
        return len(virtual_base.database.query(COUNT))

    with virtual_broker(virtual_base, {BOB: None}) as it:
        virtual_base.database.query(ADD_OLD)
        it.wait(239.0 - it.now_s)
        assert left() == 1
        it.wait(2.0)
        assert left() == 0
        virtual_base.database.query(ADD_OLD)
        it.wait(6 * HOUR_S - 2.0)
        assert left() == 1
        it.wait(2.0)
        assert left() == 0
