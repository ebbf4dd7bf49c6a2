"""Things that move power: one file a kind."""
