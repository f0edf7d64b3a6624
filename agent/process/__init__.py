"""Agent 1, PID 1 of the engine's container: runs the engine's process and owns the data directory while it does."""
