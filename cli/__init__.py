"""``mw``, also ``kubectl mw``: installs the platform and its plugins, and shows what is what."""
