"""What a command found, on its way to whoever reads it."""

from __future__ import annotations

from sim.exits import Exit, Refused


def say(text: str) -> None:
    """To stdout, at once: an error message must not come before the results."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(f"cannot write to stdout: {error.strerror}; send it elsewhere", Exit.INTERNAL) from None
