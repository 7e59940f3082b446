"""The reference delegation broker: the one that the harness holds up as correct."""
