"""Whether a spec can be carried out: by itself, and from what runs."""
