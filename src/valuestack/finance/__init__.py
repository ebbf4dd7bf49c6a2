"""Finance: what a stack of annual values is worth to whom, over the years, after tax and debt."""
