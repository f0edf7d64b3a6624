"""From the agents' streams to role labels and the roles in the metadata."""
