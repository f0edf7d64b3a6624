"""What the API server says, as kept up to date by watches. Mostly pure."""
