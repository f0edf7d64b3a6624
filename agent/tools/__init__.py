"""Agent 2, beside the engine: knows its role and readiness, and carries out the plugin's tools on it."""
