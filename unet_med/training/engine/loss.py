"""Dice and cross-entropy over the whole batch, of all processes together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from unet_med.training.distributed import sum_over_processes, world_size
from unet_med.training.target_encoding import IGNORE_INDEX

if TYPE_CHECKING:
    from unet_med.training.target_encoding import TargetEncoding

SMOOTH = 1.0
"""Pixels added to both sides of a Dice ratio: a label that the batch lacks is 1 when silent."""


class DiceCrossEntropy(nn.Module):
    """Compute 1 - Dice, mean over labels, plus cross-entropy, mean over pixels.

    Sums are taken over all pixels of the batch that are not ignored, in all processes: the value
    is that of one process with the whole batch, and so is the gradient after
    ``DistributedDataParallel`` has averaged it. The background has no Dice term.

    Early in a run small labels would be drowned by the background, and their Dice has next to no
    gradient while nothing is predicted. So the cross-entropy of a class of n pixels in the batch
    counts n^-power times as much, with a power that falls from ``balance`` to 0 over the run: the
    last steps see every pixel alike.

    Attributes:
        progress: Share of the run that is done, 0 to 1; set from outside.

    Args:
        encoding: What each code of the labels asks of each output.
        activation: ``softmax`` or ``sigmoid``; then each output and the rest are two classes.
        dice_weight: Weight of the Dice term against 1 for the cross-entropy.
        balance: The power at the start; 0 = every pixel counts alike from the beginning.

    Example:
        >>> import numpy as np
        >>> from unet_med.training.target_encoding import TargetEncoding
        >>> encoding = TargetEncoding((1,), None, np.eye(2, dtype=np.float32), np.arange(2))
        >>> loss = DiceCrossEntropy(encoding, activation="softmax")
        >>> codes = torch.tensor([[[0, 1]]], dtype=torch.uint8)
        >>> right = 30.0 * torch.eye(2)[None, :, None]  # (N, K, H, W)
        >>> round(loss(right, codes).item(), 4), round(loss(-right, codes).item(), 1)
        (0.0, 30.7)
    """

    targets: torch.Tensor

    def __init__(
        self,
        encoding: TargetEncoding,
        *,
        activation: str,
        dice_weight: float = 1.0,
        balance: float = 0.0,
    ) -> None:
        super().__init__()
        table = torch.zeros(256, encoding.targets.shape[1])
        table[: encoding.n_codes] = torch.from_numpy(encoding.targets)
        self.register_buffer("targets", table)
        self.softmax = activation == "softmax" and encoding.targets.shape[1] > 1
        self.dice_weight = dice_weight
        self.balance = balance
        self.progress = 0.0

    def forward(self, logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return the loss of logits (N, K, H, W) for codes (N, H, W) uint8."""
        n_outputs = logits.shape[1]
        flat = logits.float().permute(0, 2, 3, 1).reshape(-1, n_outputs)
        known = codes.reshape(-1)
        valid = (known != IGNORE_INDEX).float()[:, None]
        wanted = self.targets.to(flat.device)[known.long()]
        if self.softmax:
            logs = F.log_softmax(flat, dim=1)
            shares = logs.exp()
            surprise = -logs
            classes = wanted * valid
        else:
            shares = flat.sigmoid()
            surprise = torch.cat([F.softplus(-flat), F.softplus(flat)], dim=1)
            classes = torch.cat([wanted, 1.0 - wanted], dim=1) * valid
        first = int(self.softmax)
        shares, wanted = shares[:, first:], wanted[:, first:]
        parts = [
            (shares * wanted * valid).sum(dim=0),
            ((shares + wanted) * valid).sum(dim=0),
            (surprise * classes).sum(dim=0),
            classes.sum(dim=0),
        ]
        sums = torch.split(sum_over_processes(torch.cat(parts)), [len(part) for part in parts])
        dice = (2 * sums[0] + SMOOTH) / (sums[1] + SMOOTH)
        entropy = self._balanced(sums[2], sums[3])
        value = self.dice_weight * (1.0 - dice.mean()) + entropy
        # DDP divides gradients by the number of processes; the sums above must not be.
        scale = float(world_size())
        return value if scale == 1.0 else scale * value - (scale - 1.0) * value.detach()

    def _balanced(self, surprise: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return the mean over pixels that weigh by how many their class has.

        Args:
            surprise: Sum over the pixels of each class (softmax), or of each output and of each
                output's rest (sigmoid).
            counts: Pixels of each.
        """
        if not self.softmax:  # (output or rest, output)
            surprise, counts = (values.reshape(2, -1) for values in (surprise, counts))
        weights = counts.clamp(min=1.0).pow(-self.balance * (1.0 - self.progress))
        each = (surprise * weights).sum(dim=0) / (counts * weights).sum(dim=0).clamp(min=1e-6)
        return each.mean()
