"""Layer 1: the retail tariff, one stream per tariff, one file an item of the bill."""
