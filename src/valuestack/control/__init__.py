"""Policies, the guard, plants and the one loop."""
