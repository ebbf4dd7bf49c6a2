"""Layer 2: what an outage would cost and how likely the site is to ride through it."""
