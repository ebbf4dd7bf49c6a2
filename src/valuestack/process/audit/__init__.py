"""Step 1: the data audit. Is this meter fit to stake money on, what was mended, and what sets its bill?"""

from __future__ import annotations

from .audit import Audit, audit

__all__ = ["Audit", "audit"]
