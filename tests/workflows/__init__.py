"""Workflows on a real Temporal server, with activities that work on a cluster in memory."""
