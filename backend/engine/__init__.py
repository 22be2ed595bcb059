"""The engine, in the dirty worker: a generation is an append-only log, every connection a cursor on it."""
