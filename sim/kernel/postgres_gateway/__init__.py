"""Joins unmodified Postgres clients on any asyncio loop to a real Postgres while virtual time stands still.

A worker process has one ``Backends`` and one ``Database``, a world one ``Gateway``:

    gateway     the world: accepts sessions, cancels, ends            session    one client connection
    backend     one real server process, its replies                  backends   leasing and cleaning them
    lock_waits  parking statements that wait for a lock               shortcuts  answers without the server
    sql_policy  what a statement's text tells; what is refused        normalise  what differs in every run
    tap         statements and their results, for observers           database   emptying between worlds
    wire        frames of the protocol                                control    the harness's own session
"""

from .backends import Backends
from .control import ControlSession, SqlError
from .database import Database
from .gateway import Gateway
from .tap import Statement
from .wire import GatewayError

__all__ = ["Backends", "ControlSession", "Database", "Gateway", "GatewayError", "SqlError", "Statement"]
