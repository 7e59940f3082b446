"""What must hold of every run: pure functions from a history to violations, and the verdict that they make."""
