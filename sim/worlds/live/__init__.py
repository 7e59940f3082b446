"""The live world: the same scenarios over real sockets, real processes, real Toxiproxy and a real Postgres."""
