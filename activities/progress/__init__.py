"""Activities by which a workflow says how far it is, and asks for a turn."""
