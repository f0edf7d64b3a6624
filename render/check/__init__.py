"""Whether a plugin, or an App of it, can be rendered: tried before anything is touched."""
