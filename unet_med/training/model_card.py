"""The model card of a trained bundle, written from facts: data, scores, and what nobody tried."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from unet_med._files import atomic_path, write_json
from unet_med._version import __version__
from unet_med.bundle import METADATA
from unet_med.training.model_card_sections import how_to_use, label_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unet_med.recipe import Recipe
    from unet_med.training.plan import TrainingPlan

CARD = Path("docs/model_card.md")
NOT_STATED = "not stated"
MERGED: Literal["held-out, then merged"] = "held-out, then merged"
_HOW = {
    "held-out": "held out, never trained on; but they chose the best weights, so the figures "
    "flatter a little.",
    MERGED: "held out for most of the run; but they chose the best weights of that part, so the "
    "figures flatter a little. They are not of the weights in this bundle: those went on to train "
    "on all cases, the ones scored here included, and were scored on none that they had not seen.",
    "out-of-fold": "out-of-fold, each by the model of a fold that was not trained on it; but each "
    "fold chose its best weights on those cases, so the figures flatter a little.",
}
"""How the scored cases were kept apart, by kind."""

FEW_PATIENTS = 10
"""Below this many patients the interval of a mean says little, and the card says so."""

Kind = Literal["held-out", "held-out, then merged", "out-of-fold"]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card knows besides recipe and plan.

    Attributes:
        scores: Case → label name → volume Dice; None where the label is in neither mask.
        kind: ``held-out``: cases that were never trained on, but chose the best weights;
            ``held-out, then merged``: the same until the run's last part, which trained on them;
            ``out-of-fold``: each case by the model of a fold that had not seen it.
        command: The command line.
        license: Of weights and data.
        remarks: Further sentences.
    """

    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    kind: Kind = "held-out"
    command: str = ""
    license: str = NOT_STATED
    remarks: tuple[str, ...] = ()


def write_card(root: Path, recipe: Recipe, plan: TrainingPlan, facts: CardFacts) -> None:
    """Write ``docs/model_card.md`` of a bundle and its scores into ``metadata.json``.

    Raises:
        OutputError: A file cannot be written.
    """
    with atomic_path(root / CARD) as partial:
        partial.write_text(model_card(recipe, plan, facts), encoding="utf-8")
    path = root / METADATA
    if not path.is_file():
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    content["eval_metrics"] = metrics_of(plan, facts)
    if facts.command:
        content["training_command"] = facts.command
    write_json(path, content)


def metrics_of(plan: TrainingPlan, facts: CardFacts) -> dict[str, Any]:
    """Return what metadata.json says of the scores, JSON-ready; empty without any."""
    if not facts.scores:
        return {}
    found = label_scores(facts.scores, plan)
    means = [score.mean for score in found.values() if score.mean is not None]
    return {
        "kind": facts.kind,
        "n_cases": len(facts.scores),
        "n_patients": len(_patients(plan, facts.scores)),
        "mean_volume_dice": round(float(np.mean(means)), 4) if means else None,
        "volume_dice": {
            name: {
                "n_patients": score.n_patients,
                "mean": None if score.mean is None else round(score.mean, 4),
                "ci95": None if score.interval is None else [round(v, 4) for v in score.interval],
            }
            for name, score in found.items()
        },
    }


def model_card(recipe: Recipe, plan: TrainingPlan, facts: CardFacts) -> str:
    """Return the card as Markdown."""
    labels = ", ".join(f"{value} {name}" for value, name in recipe.labels.items())
    sizes = ", ".join(map(str, recipe.network.sizes))
    parts = [
        f"# Model card: {recipe.name}",
        (
            f"**What it is.** A 2D U-Net with {sizes} channels per "
            f"level that labels {labels} on {recipe.slice_axis} slices, trained by unet_med "
            f"{__version__}. `configs/recipe.json` says all that it does to a scan."
        ),
        (
            "**It is no medical device** and must not be used for diagnosis, treatment or any "
            "decision about a patient."
        ),
        "## How to use it\n\n" + how_to_use(recipe, plan),
        "## Data\n\n" + _data(recipe, plan, validation_merged=facts.kind == MERGED),
        "## How well it does\n\n" + _how_well(plan, facts),
        "## Where it was never tried\n\n" + _never_tried(recipe, plan),
        "## How it was planned\n\n" + _bullets(plan.notes or ("no notes",)),
        "## How it was made\n\n" + _made(plan, facts),
        "## License\n\n" + _license(facts.license),
    ]
    return "\n\n".join(parts) + "\n"


def _data(recipe: Recipe, plan: TrainingPlan, *, validation_merged: bool) -> str:
    seen = recipe.fingerprint
    trained = plan.training_cases
    rows = [
        ("cases", f"{len(plan.cases)} of {len(_patients(plan))} patients"),
        ("trained on", f"{len(plan.cases) if validation_merged else len(trained)} cases"),
        (
            "held out until the last part of the run" if validation_merged else "held out",
            _ids(plan.validation),
        ),
        ("channels", ", ".join(f"{c.name} ({c.modality})" for c in recipe.channels)),
        ("distance between slices", _range(seen.slice_spacing_mm, "mm")),
        ("spacing in the slice", _range(seen.in_plane_spacing_mm, "mm")),
        ("sides of a slice", _range(seen.slice_size_mm, "mm")),
        ("slices", _range(seen.n_slices, "")),
    ]
    rows += [(f"values of {name}", _range(pair, "")) for name, pair in seen.intensity.items()]
    rows += [(f"volume of {name}", _range(pair, "ml")) for name, pair in seen.volumes_ml.items()]
    rows.append(("who, where, which scanner", NOT_STATED))
    return _table(("", ""), [(what, text) for what, text in rows if text])


def _how_well(plan: TrainingPlan, facts: CardFacts) -> str:
    if not facts.scores and plan.validation:
        seen = "They were trained on in the end" if facts.kind == MERGED else "It has not seen them"
        return (
            f"Nobody knows: {_ids(plan.validation)} could not be scored: no time, or no label in "
            f"them. {seen}. Do not use it before it was scored on cases that it has not seen "
            "(`unet-med evaluate`)."
        )
    if not facts.scores:
        return (
            "Nobody knows: no case was held out, and scores on training cases are no estimate. Do "
            "not use it before it was scored on cases that it has not seen (`unet-med evaluate`)."
        )
    found = label_scores(facts.scores, plan)
    rows = [
        (name, _digits(s.mean), _interval(s.interval), _digits(s.lowest), str(s.n_patients))
        for name, s in found.items()
    ]
    table = _table(("label", "mean Dice", "95 % interval", "lowest case", "patients"), rows)
    n_patients = len(_patients(plan, facts.scores))
    few = (
        f" With {_count(n_patients, 'patient')} this is a first impression, "
        "no estimate of what happens elsewhere."
        if n_patients < FEW_PATIENTS
        else ""
    )
    return (
        f"Volume Dice on {_count(len(facts.scores), 'case')} of {_count(n_patients, 'patient')}: "
        f"{_HOW[facts.kind]} "
        f"Intervals: 2000 bootstrap draws of patients.{few}\n\n{table}"
    )


def _never_tried(recipe: Recipe, plan: TrainingPlan) -> str:
    seen = recipe.fingerprint
    lines = [
        "scanners, hospitals, protocols and patient groups other than those of the data above",
        f"more than {len(_patients(plan))} patients",
    ]
    if seen.slice_spacing_mm is not None:
        lines.append(f"slices not {_range(seen.slice_spacing_mm, 'mm')} apart")
    if seen.in_plane_spacing_mm is not None:
        lines.append(f"pixels not {_range(seen.in_plane_spacing_mm, 'mm')} wide")
    modalities = sorted({c.modality for c in recipe.channels} - {"n/a"})
    if modalities:
        lines.append(f"anything but {', '.join(modalities)}")
    lines.append("scans in which something is there that the label maps do not name")
    told = "`unet-med segment` says so in its sidecar when a scan lies outside these ranges."
    return f"{_bullets(lines)}\n\n{told}"


def _made(plan: TrainingPlan, facts: CardFacts) -> str:
    budgets = ((plan.minutes, "minutes"), (plan.epochs, "epochs"), (plan.steps, "steps"))
    amount = ", ".join(f"{value:g} {unit}" for value, unit in budgets if value is not None)
    command = f"\n\n```\n{facts.command}\n```" if facts.command else ""
    remarks = f"\n\n{_bullets(facts.remarks)}" if facts.remarks else ""
    return (
        f"{amount}, batches of {plan.batch_size}, {plan.optimizer.name} with rate "
        f"{plan.optimizer.learning_rate:g}, seed {plan.seed}; `configs/plan.json` holds the whole "
        f"plan.{command}{remarks}"
    )


def _license(text: str) -> str:
    if text != NOT_STATED:
        return text
    return (
        f"{NOT_STATED}. Weights and data belong to whoever made them: state here and in `LICENSE` "
        "under which terms they may be used before passing the bundle on."
    )


def _patients(plan: TrainingPlan, ids: Mapping[str, object] | None = None) -> set[str]:
    return {case.patient for case in plan.cases if ids is None or case.id in ids}


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _ids(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:20]) or "none"
    return shown + (f" and {len(ids) - 20} more" if len(ids) > 20 else "")  # noqa: PLR2004 - fits


def _range(pair: tuple[float, float] | None, unit: str) -> str:
    if pair is None:
        return ""
    low, high = pair
    text = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{text} {unit}".strip()


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(pair: tuple[float, float] | None) -> str:
    return "–" if pair is None else f"{pair[0]:.3f} to {pair[1]:.3f}"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in cells)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
