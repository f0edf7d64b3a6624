"""Sees what happens in the cluster and in the engines: signals workflows, labels roles, sums up status.

Only the replica that holds the Lease acts. Everything here is derived state, built anew from list-watch and from the
agents' streams, so a watcher may be killed at any moment and nothing is lost but time.
"""
