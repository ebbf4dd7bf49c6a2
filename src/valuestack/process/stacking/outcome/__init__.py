"""What simulated futures came to, one question a file; `outcome` asks them all."""

from .whole import outcome

__all__ = ["outcome"]
