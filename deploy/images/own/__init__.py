"""Images of a plugin's author: of a folder with a Containerfile, or of Debian packages."""
