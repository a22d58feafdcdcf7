"""Rules for rho: by efficiency, by a share of outliers, by an estimated error."""
