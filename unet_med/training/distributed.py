"""What the processes of one training run must agree about."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

if TYPE_CHECKING:
    import torch
    from torch import nn


def is_distributed() -> bool:
    """Tell whether several processes train together."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return this process's number."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """Return how many processes there are."""
    return dist.get_world_size() if is_distributed() else 1


def is_main_process() -> bool:
    """Tell whether this is the process that writes."""
    return rank() == 0


def broadcast(value: Any) -> Any:  # noqa: ANN401 - anything
    """Return the first process's value in all of them."""
    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def all_gather(value: Any) -> list[Any]:  # noqa: ANN401 - anything
    """Return every process's value, in order, in all of them."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def sum_over_processes(local: torch.Tensor) -> torch.Tensor:
    """Return the sum of all processes' tensors; its gradient goes to this process's part alone."""
    if not is_distributed():
        return local
    everywhere = local.detach().clone()
    dist.all_reduce(everywhere)
    return local + (everywhere - local.detach())


def barrier() -> None:
    """Wait for all processes."""
    if is_distributed():
        dist.barrier()


def broadcast_buffers(network: nn.Module) -> None:
    """Give every process the first one's running statistics."""
    if is_distributed():
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)


def under_torchrun() -> bool:
    """Tell whether torchrun (or the like) started this process as one of several."""
    return "LOCAL_RANK" in os.environ and "MASTER_ADDR" in os.environ
