"""Problems from and to SymPy."""
