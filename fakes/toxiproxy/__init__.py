"""A fault proxy with Toxiproxy's vocabulary: `proxy` (start here), `toxics`, `triggers`, `window`."""
