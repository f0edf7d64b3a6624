"""Writes to the API server: objects, status, Events, the metadata ConfigMap."""
