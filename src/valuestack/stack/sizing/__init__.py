"""Sizes as decisions: in the plan's own problem where it is affine in them, by a search where not."""

from .axis import Axis, Sized, Sizes, capacity_usd
from .pattern_search import search
from .problem import Joint, joint

__all__ = ["Axis", "Joint", "Sized", "Sizes", "capacity_usd", "joint", "search"]
