"""The App's own workflow: its memory, and which operation runs next."""
