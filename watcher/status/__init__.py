"""The counts, conditions and endpoints in the statuses."""
