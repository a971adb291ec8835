"""Generate synthetic heads to train on: contrast, cortical folds, deformation, scanner artifacts.

It made the sample weights and is no part of the package: `sample_data.train_heads` names it to the
general trainer as its source of batches.
"""
