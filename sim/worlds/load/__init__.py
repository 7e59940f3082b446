"""The load world: Locust users against the live world, while faults come and go; then everything is judged."""
