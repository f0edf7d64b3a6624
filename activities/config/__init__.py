"""Parameters, files and tools of running nodes."""
