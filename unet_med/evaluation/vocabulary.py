"""Do the label values of two masks mean the same things?

A prediction of {0, 255} against a reference of {0, 1} would score 0 for both labels, which looks
like a bad network and is a bad file. But a prediction of {2} against a reference of {1} is a
plain miss when 1 and 2 belong to one set of labels. The references of the whole cohort, and
the labels somebody named, tell the two apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med.errors import LabelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unet_med.evaluation.records import CaseScores

LabelSets = tuple[frozenset[int], ...]


def label_sets(groups: Iterable[Iterable[int]]) -> LabelSets:
    """Merge groups of label values that share one: values that were seen together belong together.

    Example:
        >>> [sorted(group) for group in label_sets([{1, 2}, {255}, {2, 3}, set()])]
        [[255], [1, 2, 3]]
    """
    merged: list[frozenset[int]] = []
    for group in groups:
        joined = frozenset(group)
        if not joined:
            continue
        apart = []
        for other in merged:
            if other & joined:
                joined |= other
            else:
                apart.append(other)
        merged = [*apart, joined]
    return tuple(merged)


def check_vocabulary(scores: CaseScores, known: LabelSets) -> None:
    """Refuse a prediction whose labels have nothing to do with those of its reference.

    Args:
        scores: The case.
        known: Label values that belong together, from every reference and every named label.

    Raises:
        LabelError: Both masks hold labels, they share none, and nothing known connects them;
            or the reference is empty and the prediction holds none of the known labels.
    """
    predicted, true = scores.prediction_values, scores.reference_values
    if not predicted or not known:
        return
    related = [group for group in known if not true or group & true]
    if any(group & predicted for group in related):
        return
    expected = true or frozenset().union(*known)
    holder = "the reference holds" if true else "the references hold"
    msg = (
        f"the prediction holds the labels {_shown({0} | predicted)}, {holder} "
        f"{_shown({0} | expected)}: they share none; write both masks with the same values, or "
        "name the labels that belong together (--labels or --label-names)"
    )
    raise LabelError(msg)


def _shown(values: Iterable[int], most: int = 12) -> str:
    ordered = sorted(values)
    dots = ", …" if len(ordered) > most else ""
    return "{" + ", ".join(str(value) for value in ordered[:most]) + dots + "}"
