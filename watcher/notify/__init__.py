"""Which changes an App's workflow is told."""
