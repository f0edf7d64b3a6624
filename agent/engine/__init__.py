"""What an engine is to agent 1: its processes, its data directory's lock, its memory, its output and how it ended."""
