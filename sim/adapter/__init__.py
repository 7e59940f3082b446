"""How fumble plays against a broker that is not ours: what an adapter file says, and how it is read."""
