"""Step 3, stacking: what the assets of a site save, realised and bound."""
