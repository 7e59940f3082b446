"""What the answer to an MCP tool call says: a text, which may itself be the JSON of a task."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any


def text_of(body: object) -> str | None:
    """The text of a tool's result; None if the call was refused or failed, or is no tool call."""
    result = body.get("result") if isinstance(body, dict) else None
    content = result.get("content") if isinstance(result, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    text = first.get("text") if isinstance(first, dict) else None
    return text if isinstance(text, str) else None


def task_of(body: object) -> Mapping[str, Any]:
    """The task that a tool's result tells of (`task_id`, `status`, ...); empty if it tells of none."""
    text = text_of(body)
    return {} if text is None else _task_in(text)


@functools.lru_cache(maxsize=1024)  # a dozen invariants ask the same answer
def _task_in(text: str) -> Mapping[str, Any]:
    try:
        task = json.loads(text)
    except ValueError:
        return {}
    return task if isinstance(task, dict) and "task_id" in task else {}
