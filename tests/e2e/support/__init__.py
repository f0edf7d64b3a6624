"""What the end-to-end tests share: a cluster as a user sees it, and clients that remember what was acknowledged."""
