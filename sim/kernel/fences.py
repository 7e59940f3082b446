"""What an event loop can do and a simulated one cannot: each such call fails where it is made, and says so.

Better a loud end at the user's own line than a simulation that quietly waits for the real world.
"""

from __future__ import annotations

from asyncio import selector_events
from collections.abc import Callable
from typing import Any

from sim.kernel.errors import NotSimulated


class FencedLoop(selector_events.BaseSelectorEventLoop):
    """asyncio's selector loop without its ways out of the process."""

    def _make_self_pipe(self) -> None:
        pass

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        """A simulated machine gets no signals; callers expect NotImplementedError on such platforms."""
        raise NotImplementedError("a simulated node gets no signals")

    def remove_signal_handler(self, sig: int) -> bool:
        """There is never one to remove."""
        return False

    async def create_datagram_endpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Not simulated."""
        raise NotSimulated("UDP (create_datagram_endpoint)")

    async def create_unix_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Not simulated."""
        raise NotSimulated("a Unix socket (create_unix_connection)", "connect to a node's TCP port")

    async def create_unix_server(self, *args: Any, **kwargs: Any) -> Any:
        """Not simulated."""
        raise NotSimulated("a Unix socket (create_unix_server)", "listen on TCP")

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        """Not simulated."""
        raise NotSimulated("a subprocess (subprocess_exec)")

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> Any:
        """Not simulated."""
        raise NotSimulated("a subprocess (subprocess_shell)")

    async def connect_read_pipe(self, *args: Any, **kwargs: Any) -> Any:
        """Not simulated."""
        raise NotSimulated("a pipe (connect_read_pipe)")

    async def connect_write_pipe(self, *args: Any, **kwargs: Any) -> Any:
        """Not simulated."""
        raise NotSimulated("a pipe (connect_write_pipe)")
