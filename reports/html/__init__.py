"""Reports as one HTML file each, which needs nothing beside it: no script, no font, no network."""
