"""Where fumble keeps what takes long to make and can be made again: the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path | None:
    """It may not be there yet, or not be writable; None for a user who has no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fumble"
    except RuntimeError:
        return None
