"""The operations, one workflow each."""
