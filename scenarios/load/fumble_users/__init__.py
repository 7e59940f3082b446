"""The users of a load: what they do to the broker, and how it is written down. Nothing here knows asyncio."""
