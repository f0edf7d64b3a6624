"""What an App should be: the desired App, the part of it that one operation carries out, and what is recorded."""
