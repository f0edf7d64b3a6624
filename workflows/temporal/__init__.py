"""How a workflow calls: activities with their time-outs, several at once, and what an error means."""
