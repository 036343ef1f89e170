"""Studies that take minutes: `python -m experiments.NAME [--quick]`; each ends in PASS or FAIL."""
