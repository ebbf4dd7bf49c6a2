"""Sizes for a site, one question a file; `size` asks them all."""

from .whole import size

__all__ = ["size"]
