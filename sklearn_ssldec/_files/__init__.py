"""Files without pickle: their container, and the encoding of values."""
