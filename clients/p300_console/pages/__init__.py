"""One module for each part of the console: what it asks, and what its pages show."""
