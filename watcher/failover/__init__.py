"""Whether a primary is lost, and the renewal of leases."""
