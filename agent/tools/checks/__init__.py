"""What is looked at beside role and readiness, at a pace of its own."""
