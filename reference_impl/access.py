"""Who may talk to whom: a workspace reaches its ancestors, its descendants and its siblings.

Two roots count as siblings. A lookup that finds nothing, or fails, grants nothing (INV-16).
"""

from __future__ import annotations

from reference_impl.store import Connection

_DEPTH_MAX = 32
_ANCESTORS = f"""
WITH RECURSIVE up AS (
    SELECT id AS origin, id, parent_id, 0 AS depth FROM workspaces WHERE id IN ($1, $2)
    UNION ALL
    SELECT up.origin, above.id, above.parent_id, up.depth + 1
    FROM up JOIN workspaces above ON above.id = up.parent_id
    WHERE up.depth < {_DEPTH_MAX}
)
SELECT origin, id, parent_id FROM up ORDER BY origin, depth
"""


async def may_communicate(connection: Connection, one: str, other: str) -> bool:
    """Whether the hierarchy lets the two workspaces exchange messages."""
    lines: dict[str, list[str]] = {one: [], other: []}
    parents: dict[str, str | None] = {}
    for row in await connection.fetch(_ANCESTORS, one, other):
        lines[str(row["origin"])].append(str(row["id"]))
        parents[str(row["id"])] = row["parent_id"] and str(row["parent_id"])
    if not (lines[one] and lines[other]):
        return False
    return one in lines[other] or other in lines[one] or parents[one] == parents[other]
