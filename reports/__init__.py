"""Renderers: what was found, for people, for machines and for CI. They know histories and violations, no worlds."""
