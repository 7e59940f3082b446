"""The broker's contract, played on a real Postgres over real sockets."""
