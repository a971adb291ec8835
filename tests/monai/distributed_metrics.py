"""Run by torchrun in tests: each process scores its share; the first one writes for all."""

from __future__ import annotations

import sys
from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Engine
from monai.data import partition_dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from unet_med.monai.handlers import SliceMetricsSaver
from unet_med.monai.metrics import SliceDiceMetric


def main() -> None:
    predictions, references, output = map(Path, sys.argv[1:])
    idist.initialize("gloo")
    cases = [
        {"pred": predictions / path.relative_to(references), "label": path}
        for path in sorted(references.rglob("*.nii.gz"))
    ]
    share = partition_dataset(
        cases,
        num_partitions=idist.get_world_size(),
        even_divisible=True,  # the last share repeats a case
    )[idist.get_rank()]
    load = Compose([LoadImaged(["pred", "label"]), EnsureChannelFirstd(["pred", "label"])])
    engine = Engine(lambda _engine, case: [load(case)])
    SliceMetricsSaver(output, data_root_dir=references, image_key="pred").attach(engine)
    engine.run(share)
    metric = SliceDiceMetric(num_classes=4, reduction="none")
    for case in share:
        loaded = load(case)
        metric(loaded["pred"][None], loaded["label"][None])
    scores = metric.aggregate()
    if idist.get_rank() == 0:
        torch.save(scores, output / "metric.pt")
    idist.finalize()


if __name__ == "__main__":
    main()
