"""The engine: what lives in the dirty worker. A generation is an append-only log; every connection is a cursor on it."""
