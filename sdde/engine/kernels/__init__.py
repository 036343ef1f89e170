"""Compiled loops only: arrays in, arrays out; no options, no Python objects."""
