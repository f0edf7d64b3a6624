"""What both agents' servers share: mutual TLS, the caller's identity, health."""
