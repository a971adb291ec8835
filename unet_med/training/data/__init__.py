"""Training data: cached slices, patches sampled from them, held-out cases."""
