"""Faults injected for real into running operations: long matrices, of which CI runs a fixed short selection."""
