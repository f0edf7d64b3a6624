"""A plugin's bundle: its files, templates and parameters, and how a mistake in it is said."""
