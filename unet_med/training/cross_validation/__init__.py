"""Cross-validation: every case is segmented once by a model that has not seen its patient."""

from __future__ import annotations

from unet_med.training.cross_validation.scoring import CrossValidationResult, cross_validate
from unet_med.training.cross_validation.train_folds import plan_folds, train_folds

__all__ = ["CrossValidationResult", "cross_validate", "plan_folds", "train_folds"]
