"""One App, observed and desired: what most steps begin with."""
