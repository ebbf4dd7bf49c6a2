"""Reasons to move power, in four layers."""
