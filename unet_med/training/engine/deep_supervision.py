"""Deep supervision: heads at the lower levels of the decoder, in training alone.

Source:
    Lee et al., Deeply-Supervised Nets, AISTATS 2015; weights per level as nnU-Net halves them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional as F

from unet_med.training.target_encoding import IGNORE_INDEX

if TYPE_CHECKING:
    from unet_med.networks import UNet2D
    from unet_med.training.plan import TrainingPlan


class DeeplySupervised(nn.Module):
    """A network with a 1×1 head at every level of its decoder but the last.

    The network itself stays as it is, and so do its ``state_dict`` keys: it is what is averaged,
    validated and saved.

    Args:
        network: The network; trained in place.
    """

    def __init__(self, network: UNet2D) -> None:
        super().__init__()
        self.network = network
        n_outputs = network.last.out_channels
        # From half the resolution down; up has its levels from the lowest to the highest.
        self.heads = nn.ModuleList(nn.Conv2d(size, n_outputs, 1) for size in network.sizes[1:])

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return the logits; in training also those of the lower levels.

        Args:
            images: (N, C, H, W).

        Returns:
            (N, K, H, W); in training a tuple of it and, per further level l = 1, 2, …, the logits
            of the padded images on a grid coarser by 2^l.
        """
        if not self.training:
            return cast("torch.Tensor", self.network(images))
        features: list[torch.Tensor] = []

        def keep(_block: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            features.append(output)

        blocks = self.network.up[1:-2:2]  # alternating: ConvTranspose2d, DualConv
        hooks = [block.register_forward_hook(keep) for block in blocks]
        try:
            logits = self.network(images)
        finally:
            for hook in hooks:
                hook.remove()
        return logits, *(head(x) for head, x in zip(self.heads, reversed(features), strict=True))


class DeepSupervisionLoss(nn.Module):
    """Apply a loss at several resolutions; the weights halve per level and sum to 1.

    Of a coarser level each pixel is compared with the label in the middle of what it covers, the
    nearest neighbor; what lies beyond the labels is ignored. Logits of one resolution give the
    loss itself.

    Args:
        loss: Takes logits (N, K, H, W) and codes (N, H, W).

    Example:
        >>> loss = DeepSupervisionLoss(lambda logits, codes: logits.mean())
        >>> fine, coarse = torch.full((1, 2, 8, 8), 3.0), torch.zeros(1, 2, 4, 4)
        >>> loss((fine, coarse), torch.zeros(1, 8, 8, dtype=torch.uint8)).item()
        2.0
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(
        self, logits: torch.Tensor | tuple[torch.Tensor, ...], codes: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of logits, the finest first, for codes (N, H, W) uint8."""
        if isinstance(logits, torch.Tensor):
            return cast("torch.Tensor", self.loss(logits, codes))
        total = torch.zeros((), device=codes.device)
        for level, coarse in enumerate(logits):
            total = total + 0.5**level * self.loss(coarse, _coarser(codes, coarse, level))
        return total / sum(0.5**level for level in range(len(logits)))


def _coarser(codes: torch.Tensor, logits: torch.Tensor, level: int) -> torch.Tensor:
    """Take every 2^level-th code, from the middle; beyond the codes everything is ignored."""
    if not level:
        return codes
    step = 2**level
    rows, columns = (side * step for side in logits.shape[-2:])
    missing = [0, columns - codes.shape[-1], 0, rows - codes.shape[-2]]
    return F.pad(codes, missing, value=IGNORE_INDEX)[:, step // 2 :: step, step // 2 :: step]


def with_deep_supervision(network: nn.Module, plan: TrainingPlan) -> nn.Module:
    """Return what is trained: the network, with heads of its own where the plan asks for them.

    Args:
        network: On its device.
        plan: Says whether.

    Example:
        >>> from unet_med.networks import UNet2D
        >>> from unet_med.training.plan import TrainingCase, TrainingPlan
        >>> case = TrainingCase("a", ("a.nii",), "b.nii", "patient")
        >>> plan = TrainingPlan((case,), steps=1, deep_supervision=True)
        >>> len(with_deep_supervision(UNet2D(1, 2, (4, 8, 16)), plan).heads)
        2
    """
    if not plan.deep_supervision:
        return network
    device = next(network.parameters()).device
    return DeeplySupervised(cast("UNet2D", network)).to(device)
