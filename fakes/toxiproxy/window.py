"""A toxic for a while."""

from __future__ import annotations

import asyncio

from fakes.toxiproxy.proxy import Proxy
from fakes.toxiproxy.toxics import Toxic


def apply_for(proxy: Proxy, toxic: Toxic, for_s: float | None) -> asyncio.TimerHandle | None:
    """Add `toxic` now and take it off `for_s` seconds later; None leaves it. Returns the timer. Raises ToxicExists."""
    proxy.add_toxic(toxic)
    if for_s is None:
        return None
    return asyncio.get_running_loop().call_later(for_s, _remove, proxy, toxic)


def _remove(proxy: Proxy, toxic: Toxic) -> None:
    # Somebody may have healed the proxy before, and put another toxic of the same name in place.
    if any(present is toxic for present in proxy.toxics):
        proxy.remove_toxic(toxic.name)
