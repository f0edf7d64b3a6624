"""Moving a writable role: switchover, drain and failover."""
