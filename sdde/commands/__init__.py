"""The commands of ``sdde``: each reads its input, calls public functions, prints what they say."""
