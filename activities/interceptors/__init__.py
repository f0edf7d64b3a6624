"""What happens around every activity: heartbeats, metrics, and saying why a step is tried again."""
