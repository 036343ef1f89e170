"""What is to be solved: plain values, without loops and without numba."""
