"""The lease of a node with a writable role: kept by agent 2, asked for by agent 1 before a start."""
