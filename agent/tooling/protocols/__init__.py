"""The protocols in which typed steps speak to engines: each turns an answer into a value with fields."""
