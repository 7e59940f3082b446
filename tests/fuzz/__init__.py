"""Fuzzing of the reference broker: `make fuzz`."""
