"""A node's Pod, its two agents and what they are given."""
