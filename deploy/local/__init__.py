"""The embedded cluster: a real Kubernetes and a real Temporal server on one machine, with no registry.

Everything of an instance lives in one state directory and in one network namespace for each node, so that several
instances run side by side and `down` leaves nothing behind. `deploy.local.instance.Instance` is the library,
`python -m deploy.local` the command.
"""
