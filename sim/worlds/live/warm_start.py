"""`python -m sim.worlds.live.warm_start MODULE`: import a program now, run it when a byte arrives on stdin.

Starting Python and importing takes half a second of real time, which is ten of a scenario in a hurry: an agent that
"is back after 2 s" would be late. So the next process waits, warm, before it is needed. What follows that byte on
stdin is the program's own; if stdin ends instead, nobody needs the program any more.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys

if __name__ == "__main__":
    module = sys.argv[1]
    importlib.import_module(module)
    # Unbuffered, so that the program finds all that was not meant for us.
    if os.read(sys.stdin.fileno(), 1):
        sys.argv = sys.argv[1:]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
