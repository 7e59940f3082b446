"""The HTTP API: one file a resource. Handlers parse, call a service, and shape the answer."""
