"""Rules for rho: an efficiency, a share of outliers, the least estimated error."""
