"""The computations, as jobflow jobs and flows. Only this package uses atomate2. It has no database of its own."""
