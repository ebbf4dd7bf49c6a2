"""Tables, figures and pages from results; computes no money."""
