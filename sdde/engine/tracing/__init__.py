"""How an ordinary NumPy function is read: tracing scalars in, a tape of scalar operations out."""
