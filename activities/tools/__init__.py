"""Running a tool to its end, however long that takes: on one node, or on those of a component."""
