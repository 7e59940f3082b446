"""Against the official SDKs, on real sockets: what the broker speaks is what others speak."""
