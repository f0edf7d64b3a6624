"""Certificates of the platform and of the agents, and the Secrets in which they are kept."""
