"""The MCP bridge: an agent's language model delegates by calling tools.

`protocol.py` speaks JSON-RPC, `tools.py` has the tools; `http/mcp.py` is their way in. Nothing here executes or
delivers: a tool that delegates hands over to `acceptance.py`, like `/delegate` (#158).
"""
