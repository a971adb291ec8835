"""Dice and cross-entropy over the whole batch, of all processes together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from unet_med.training.codes import IGNORED

if TYPE_CHECKING:
    from unet_med.training.codes import LabelCodes

SMOOTH = 1.0
"""Pixels added to both sides of a Dice ratio: a label that the batch lacks is 1 when silent."""


class DiceCrossEntropy(nn.Module):
    """1 - Dice, mean over labels, plus cross-entropy, mean over pixels.

    Sums are taken over all pixels of the batch that are not ignored, in all processes: the value
    is that of one process with the whole batch, and so is the gradient after
    ``DistributedDataParallel`` has averaged it. The background has no Dice term.

    Args:
        codes: What each code of the labels asks of each output.
        activation: ``softmax`` or ``sigmoid``.
        dice_weight: Weight of the Dice term against 1 for the cross-entropy.
    """

    targets: torch.Tensor

    def __init__(self, codes: LabelCodes, *, activation: str, dice_weight: float = 1.0) -> None:
        super().__init__()
        table = torch.zeros(256, codes.targets.shape[1])
        table[: codes.n_codes] = torch.from_numpy(codes.targets)
        self.register_buffer("targets", table)
        self.softmax = activation == "softmax" and codes.targets.shape[1] > 1
        self.dice_weight = dice_weight

    def forward(self, logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return the loss of logits (N, K, H, W) for codes (N, H, W) uint8."""
        n_outputs = logits.shape[1]
        flat = logits.float().permute(0, 2, 3, 1).reshape(-1, n_outputs)
        known = codes.reshape(-1)
        valid = (known != IGNORED).float()
        wanted = self.targets.to(flat.device)[known.long()]
        if self.softmax:
            logs = F.log_softmax(flat, dim=1)
            shares = logs.exp()
            entropy = -((logs * wanted).sum(dim=1) * valid).sum()
        else:
            shares = flat.sigmoid()
            each = F.binary_cross_entropy_with_logits(flat, wanted, reduction="none")
            entropy = (each.mean(dim=1) * valid).sum()
        first = int(self.softmax)
        shares, wanted = shares[:, first:], wanted[:, first:]
        kept = valid[:, None]
        overlap = (shares * wanted * kept).sum(dim=0)
        total = ((shares + wanted) * kept).sum(dim=0)
        sums = _summed(torch.cat([overlap, total, entropy[None], valid.sum()[None]]))
        overlap, total = sums[:-2].chunk(2)
        dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
        value = self.dice_weight * (1.0 - dice.mean()) + sums[-2] / sums[-1].clamp(min=1.0)
        # DDP divides gradients by the number of processes; the sums above must not be.
        scale = float(_world())
        return value if scale == 1.0 else scale * value - (scale - 1.0) * value.detach()


def _summed(local: torch.Tensor) -> torch.Tensor:
    """Return the sum over all processes; its gradient goes to this process's part alone."""
    if _world() == 1:
        return local
    everywhere = local.detach().clone()
    dist.all_reduce(everywhere)
    return local + (everywhere - local.detach())


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
