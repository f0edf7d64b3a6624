"""The resources and the plugin format as pydantic models: no I/O, nothing of ours imported.

Everything else in the platform speaks in these types; the CRD YAML under ``deploy/crds`` is generated from them.
"""
