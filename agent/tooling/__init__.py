"""The plugin's declarative tools, carried out: ``api.tools`` is the specification of the language."""
