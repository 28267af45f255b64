"""What each function does, as plain functions on a store; every step may run twice with the same result."""
