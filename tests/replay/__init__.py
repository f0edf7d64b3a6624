"""Stored histories are replayed: a change that would break a running operation is seen before it is released."""
