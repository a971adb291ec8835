"""Train on synthetic heads, as the sample weights were: see docs/model_card.md.

From the root of the repository, with the folder that ``prepare.py --templates T`` writes:

    python -m sample_data.train_heads --images T/images --labels T/labels --steps 4600 -o BUNDLE

With several processes: ``torchrun --standalone --nproc_per_node=2 -m sample_data.train_heads …``.
Every case is trained on, so score the bundle on other scans.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.errors import InputError, UnetMedError
from unet_med.training import OptimizerPlan, RunOptions, TrainingPlan, train_bundle
from unet_med.training.planning import PlanSettings, SourceData, plan_training
from unet_med.training.planning.settings import with_overrides

if TYPE_CHECKING:
    from unet_med.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
BATCHES = "sample_data.synthesis.batches.build_batches"
OPTIMIZER = OptimizerPlan("adamw", 2e-3, 1e-4, "cosine")
NOTE = (
    "random slices of synthetic heads, 160 × 160 pixels, mirrored left-right; no case is held out: "
    "score the bundle on other scans"
)


def main(arguments: list[str] | None = None) -> int:
    """Plan, train, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of T1 heads")
    parser.add_argument("--labels", type=Path, required=True, help="folder of their label maps")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the new bundle")
    parser.add_argument("--recipe", type=Path, default=ROOT / "configs/recipe.json")
    parser.add_argument("--plan", type=Path, help="JSON file with fields of the plan to change")
    parser.add_argument("--minutes", type=float, help="budget; or steps (default: 15 minutes)")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads of each process")
    parser.add_argument("--init", type=Path, metavar="BUNDLE", help="start from its weights")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--workers", type=int, default=0, help="processes for batches")
    parser.add_argument("--resume", action="store_true", help="go on where training stopped")
    args = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("unet_med").setLevel(logging.INFO)
    shown = shlex.join(sys.argv[1:] if arguments is None else arguments)
    try:
        options = RunOptions(
            resume=args.resume,
            init=args.init,
            workers=args.workers,
            precision=args.precision,
            batches=BATCHES,
            command_line=f"python -m sample_data.train_heads {shown}",
        )
        result = train_bundle(args.output, lambda: plan_heads(args), options)
    except UnetMedError as exc:
        print(f"train_heads: {exc}", file=sys.stderr)
        return 2
    print(result.summary())
    return 0


def plan_heads(args: argparse.Namespace) -> tuple[Recipe, TrainingPlan]:
    """Return recipe and plan with what was found good for the sample weights.

    Raises:
        InputError: The data have errors.
    """
    planned = plan_training(
        SourceData(images=args.images, labels=args.labels, recipe_file=args.recipe),
        PlanSettings(
            name=args.output.name or "heads",
            minutes=args.minutes,
            steps=args.steps,
            threads=args.threads,
            seed=args.seed,
        ),
    )
    if planned.recipe is None or planned.plan is None:
        raise InputError("; ".join(issue.text for issue in planned.checked.errors))
    plan = replace(
        planned.plan,
        patch_size=(160, 160),
        batch_size=16,
        mirror_axes=("left-right",),
        optimizer=OPTIMIZER,
        ema_decay=0.995,
        validation=(),
        merge_validation_after=None,
        notes=(*planned.plan.notes, NOTE),
    )
    if args.plan is not None:
        plan = TrainingPlan.from_dict(with_overrides(plan.to_dict(), args.plan))
    return planned.recipe, plan


if __name__ == "__main__":
    sys.exit(main())
