"""Many paths: from a `Problem` to a `Solution`."""
