"""Real components that worlds need: where they are found, how they are started and ended."""
