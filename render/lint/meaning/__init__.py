"""What reads well, and yet cannot be what its author meant."""
