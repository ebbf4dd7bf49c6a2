"""Layer 4: environmental attributes. One file a kind; what they share is in environment.py."""
