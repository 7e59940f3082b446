"""Where Toxiproxy's own program is on this machine: one answer for live worlds, for `fumble doctor` and for tests."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Literal

from sim.worlds.components import cache
from sim.worlds.components.processes import ComponentFailed

VERSION = "2.12.0"
"""That `.ci/toxiproxy` builds."""
HOW_TO_GET = (
    "run .ci/toxiproxy in a checkout, which builds it in a minute, or "
    f"`go install github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}` and name what it makes in TOXIPROXY_SERVER, "
    "or put toxiproxy-server on PATH"
)


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is there; `how` says by what it was found."""

    path: str
    how: str

    def __str__(self) -> str:
        return f"program {os.path.basename(self.path)}, {self.how}"


def found(name: Literal["server", "cli"] = "server") -> Program | None:
    """Named in TOXIPROXY_SERVER, or else on PATH, or else where `.ci/toxiproxy` puts it; None: nowhere.

    Raises ComponentFailed if the variable names something that is no program.
    """
    variable = f"TOXIPROXY_{name.upper()}"
    if wanted := os.environ.get(variable):
        return named(wanted, how=f"named in {variable}")
    if path := shutil.which(f"toxiproxy-{name}"):
        return Program(path, "on PATH")
    kept = cache.folder()
    if kept is not None and (path := shutil.which(kept / f"toxiproxy-{name}-{VERSION}")):
        return Program(str(path), "in the cache")
    return None


def named(wanted: str, *, how: str) -> Program:
    """A program by its path, or by its name on PATH. Raises ComponentFailed."""
    path = shutil.which(wanted)
    if path is None:
        raise ComponentFailed(f"there is no program {wanted}, {how}; fix: {HOW_TO_GET}, or use --toxiproxy embedded")
    return Program(path, how)
