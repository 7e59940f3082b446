"""Brokers as processes of their own, under load from this one."""
