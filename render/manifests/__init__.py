"""The Kubernetes objects of a desired App."""
