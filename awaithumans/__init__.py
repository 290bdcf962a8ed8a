"""Let an agent wait for a person: durably, once, with a typed answer."""
