"""Synthetic training slices of labeled heads: contrast, cortex, deformation, scanner artifacts."""
