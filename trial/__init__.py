"""The agent's interpreter at an author's desk, where an engine that only plays recorded answers stands in for the real.

A package of its own: it is in no Pod, and ``cli``, which may not import the agent, starts it as a process.
"""
