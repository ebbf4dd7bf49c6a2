"""How stores age: cycle counting, fade, warranty meters."""
