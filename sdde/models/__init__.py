"""Ready problems, each with the facts known about it."""
