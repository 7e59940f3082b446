"""A fault proxy with Toxiproxy's vocabulary, as a part of a program and as a server; README.md says how to use both.

On any loop, the simulated one too: `proxy` (start here), `connection`, `stages`, `toxics`, `triggers`, `window`.
The server around it, on real sockets only: `server`, `api`, `collection`, `served_proxy`, and what it shares with Go.
"""

import logging

# Only the server says where its log goes; a program with a proxy in it decides for itself.
logging.getLogger(__name__).addHandler(logging.NullHandler())
