"""Container images, made from Debian packages and locked wheels without any container registry."""
