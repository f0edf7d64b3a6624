"""The gRPC contracts between platform and agents, and their generated code (``make generate``)."""
