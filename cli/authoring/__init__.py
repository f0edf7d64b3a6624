"""What an author of a plugin does at the desk, without a cluster."""
