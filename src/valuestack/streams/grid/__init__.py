"""Layer 3: services to the grid, mostly through an aggregator's contract."""
