"""Sources of synthetic scans for the tests of the generator."""

from __future__ import annotations

from sample_data.synthesis.source import SynthesisSource, build_source
from tests.training.heads import SPACING_MM, make_head


def make_source(**options) -> SynthesisSource:
    """Return a source of a tiny head."""
    image, labels = make_head(**options)
    return build_source(image, labels, SPACING_MM)
