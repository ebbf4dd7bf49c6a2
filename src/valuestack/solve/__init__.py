"""Problems and solvers; knows nothing of energy or money."""
