"""Files without pickle: the container, and the values that may be in it."""
