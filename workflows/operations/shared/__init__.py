"""What operations have in common: the start by hand, control, applying an App, rolling its nodes."""
