"""What every tier of tests stands on: which worker this is, and that a run leaves no process behind."""
