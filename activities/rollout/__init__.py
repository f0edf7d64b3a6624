"""Giving nodes other Pods or volumes, one after another."""
