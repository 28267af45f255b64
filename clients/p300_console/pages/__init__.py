"""One module for each part of the console: the queries it takes, and what its pages show."""
