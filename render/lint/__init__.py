"""All that can be said of a plugin before it is installed: each with file, line, column, and what to write instead."""
