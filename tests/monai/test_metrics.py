from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import DiceMetric
from monai.networks.utils import one_hot
from monai.utils import MetricReduction

from unet_med.bundle import demo_data
from unet_med.errors import GeometryError, LabelError
from unet_med.evaluation import evaluate_case
from unet_med.metrics import EmptyPolicy, slice_counts, volume_dice
from unet_med.monai.metrics import SliceDiceMetric

N_CLASSES = 4


def random_maps(seed=0, batch=2, shape=(5, 7, 6), n_classes=N_CLASSES):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, n_classes, (2, batch, 1, *shape), generator=generator)


def head_masks():
    """Nested ellipsoids on a real head's grid, and a shifted copy: brain, gray and white matter."""
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in (90, 108, 91)), indexing="ij")
    radius = np.sqrt(i**2 + j**2 + k**2) + 0.05 * np.sin(9 * i) * np.cos(7 * j)
    labels = (radius[None] < np.array([0.9, 0.8, 0.5])[:, None, None, None]).sum(axis=0)
    both = np.stack([np.roll(labels, (1, 2), (0, 1)), labels])
    return torch.from_numpy(both.astype(np.uint8))[:, None, None]


@pytest.mark.parametrize("include_background", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "mean_batch", "none"])
def test_volume_dice_is_monai_dice(include_background, reduction):
    kind = {"include_background": include_background, "reduction": reduction}
    ours, theirs = SliceDiceMetric(num_classes=4, **kind), DiceMetric(num_classes=4, **kind)
    for prediction, reference in (head_masks(), random_maps(1)):
        ours(prediction, reference)
        theirs(prediction, reference)
    expected = theirs.aggregate()
    np.testing.assert_allclose(ours.aggregate(), expected, rtol=0, atol=1e-7)


def test_command_line_and_metric_equal_monai_on_a_real_head(tmp_path):
    """Tissue labels of Colin27 against themselves, shifted: command line, metric, MONAI."""
    path = next((demo_data() / "labels").glob("*.nii.gz"))
    image = nib.load(path)
    reference = np.asarray(image.dataobj)
    prediction = np.roll(reference, (2, -1, 1), (0, 1, 2))
    shifted = tmp_path / "shifted.nii.gz"
    nib.save(nib.Nifti1Image(prediction, image.affine), shifted)
    scores = evaluate_case(shifted, path)
    assert scores.labels == (1, 2, 3)

    tensors = [
        torch.from_numpy(mask.astype(np.uint8))[None, None] for mask in (prediction, reference)
    ]
    kind = {"num_classes": 4, "include_background": False, "reduction": "mean_batch"}
    expected = DiceMetric(**kind)
    expected(*tensors)
    ours = SliceDiceMetric(**kind)
    ours(*tensors)
    assert 0.3 < expected.aggregate().min() < expected.aggregate().max() < 0.95
    np.testing.assert_allclose(ours.aggregate(), expected.aggregate(), rtol=0, atol=1e-7)
    np.testing.assert_allclose(volume_dice(scores.counts), expected.aggregate(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("slice_dim", [-1, 0, 1, 2])
def test_volume_dice_does_not_depend_on_the_slice_axis_but_slice_means_do(slice_dim):
    prediction, reference = head_masks()
    along, last = (SliceDiceMetric(num_classes=4, slice_dim=d) for d in (slice_dim, 2))
    along(prediction, reference)
    last(prediction, reference)
    assert along.aggregate() == last.aggregate()
    assert (along.aggregate_slices() == last.aggregate_slices()) == (slice_dim in (2, -1))


def test_one_hot_label_map_and_lists_give_equal_counts():
    prediction, reference = random_maps()
    hot = [one_hot(mask, N_CLASSES) for mask in (prediction, reference)]
    forms = [
        (prediction, reference),
        tuple(hot),
        (hot[0], reference),
        (prediction, hot[1]),
        ([*prediction], [*reference]),
        ([*hot[0]], [*reference]),
    ]
    results = []
    for form in forms:
        metric = SliceDiceMetric(num_classes=N_CLASSES)
        metric(*form)
        results.append(metric.aggregate("none"))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=0)


def test_overlapping_channels_are_counted_each_for_itself():
    prediction = torch.ones(1, 3, 4, 5, 2)
    reference = torch.ones(1, 3, 4, 5, 2)
    reference[:, 1, :2] = 0
    metric = SliceDiceMetric(reduction="none")
    metric(prediction, reference)
    torch.testing.assert_close(
        metric.aggregate(), torch.tensor([[1, 2 / 3, 1]], dtype=torch.float64)
    )


def test_cases_with_different_numbers_of_slices_are_kept_apart():
    pairs = [random_maps(seed, batch=1, shape=(5, 7, n)) for seed, n in enumerate((6, 1, 9))]
    metric = SliceDiceMetric(num_classes=N_CLASSES, include_background=False)
    for prediction, reference in pairs[:2]:
        metric(prediction, reference)
    metric([pairs[2][0][0]], [pairs[2][1][0]])
    counts = metric.case_counts()
    assert [one.n_slices for one in counts] == [6, 1, 9]
    for found, (prediction, reference) in zip(counts, pairs, strict=True):
        slices = (mask[0, 0].moveaxis(-1, 0).numpy() for mask in (prediction, reference))
        expected = slice_counts(*slices, labels=[1, 2, 3])
        np.testing.assert_array_equal(found.tp, expected.tp)
        np.testing.assert_array_equal(found.fp, expected.fp)
        np.testing.assert_array_equal(found.fn, expected.fn)


@pytest.mark.parametrize(
    ("policy", "mean"), [("skip", 0.5), (EmptyPolicy.ONE, 0.75), ("zero", 0.25)]
)
def test_slice_means_follow_their_policy(policy, mean):
    prediction, reference = torch.zeros(2, 1, 1, 3, 5, 4)
    reference[..., 1:3] = 1
    prediction[..., 1] = 1  # slice 1 right, slice 2 missed, 0 and 3 rightly empty
    metric = SliceDiceMetric()
    metric(prediction, reference)
    assert metric.aggregate_slices(policy).item() == pytest.approx(mean)
    assert metric.aggregate().item() == pytest.approx(2 / 3)


def test_false_positives_score_0_where_monai_drops_them():
    prediction, reference = torch.ones(1, 1, 3, 4, 2), torch.zeros(1, 1, 3, 4, 2)
    ours, theirs = SliceDiceMetric(), DiceMetric(reduction="none")
    ours(prediction, reference)
    theirs(prediction, reference)
    assert ours.aggregate().item() == 0
    assert theirs.aggregate().isnan().all()


def random_and_empty_maps():
    """Four cases, four classes: random, class 3 only predicted, only true, and in neither."""
    prediction, reference = random_maps(3, batch=4)
    absent = [(reference, 1), (prediction, 2), (reference, 3), (prediction, 3)]
    for mask, case in absent:
        mask[case][mask[case] == 3] = 1
    return prediction, reference


FORMS = {
    "label maps": lambda mask: mask,
    "one-hot": lambda mask: one_hot(mask, N_CLASSES),
    "lists": lambda mask: [*one_hot(mask, N_CLASSES)],
}


@pytest.mark.parametrize("ignore_empty", [True, False])
@pytest.mark.parametrize("include_background", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_ignore_empty_given_gives_the_tables_of_monai(form, include_background, ignore_empty):
    for reduction in MetricReduction:
        for get_not_nans in (False, True):
            arguments = (include_background, reduction, get_not_nans, ignore_empty, N_CLASSES)
            ours, theirs = SliceDiceMetric(*arguments), DiceMetric(*arguments)
            for pair in (random_and_empty_maps(), random_maps(5)):
                masks = [FORMS[form](mask) for mask in pair]
                tables = ours(*masks), theirs(*masks)
                torch.testing.assert_close(*tables, rtol=1e-6, atol=1e-6, equal_nan=True)
            found, expected = ours.aggregate(), theirs.aggregate()
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6, equal_nan=True)
            torch.testing.assert_close(
                ours.get_buffer(), theirs.get_buffer(), rtol=1e-6, atol=1e-6, equal_nan=True
            )


@pytest.mark.parametrize("ignore_empty", [True, False])
@pytest.mark.parametrize("reduction", [*MetricReduction])
def test_ignore_empty_given_reduces_nothing_but_empty_masks_as_monai_does(ignore_empty, reduction):
    empty = torch.zeros(2, 2, 3, 4, 2)
    found = torch.stack([empty, empty])
    found[0, :, 0] = 1
    for prediction, reference in ((empty, empty), found):
        ours = SliceDiceMetric(reduction=reduction, get_not_nans=True, ignore_empty=ignore_empty)
        theirs = DiceMetric(reduction=reduction, get_not_nans=True, ignore_empty=ignore_empty)
        ours(prediction, reference)
        theirs(prediction, reference)
        torch.testing.assert_close(ours.aggregate(), theirs.aggregate(), equal_nan=True)


@pytest.mark.parametrize("reduction", [*MetricReduction])
def test_our_rule_reduces_as_monai_does_where_nothing_is_empty(reduction):
    """Every case holds every class, so the three rules agree; the shapes are MONAI's."""
    kind = {"reduction": reduction, "get_not_nans": True, "num_classes": N_CLASSES}
    ours, theirs = SliceDiceMetric(**kind), DiceMetric(**kind)
    for pair in (random_maps(6), random_maps(7)):
        ours(*pair)
        theirs(*pair)
    (found, found_count), (expected, expected_count) = ours.aggregate(), theirs.aggregate()
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found_count, expected_count, rtol=0, atol=0)


def test_our_rule_by_hand():
    prediction, reference = random_and_empty_maps()
    metric = SliceDiceMetric(False, "none", True, num_classes=N_CLASSES)
    table = metric(prediction, reference)
    assert table[1, 2] == table[2, 2] == 0  # only predicted, only true
    assert table[3, 2].isnan()  # in neither
    torch.testing.assert_close(metric.aggregate()[0], table, equal_nan=True)
    _, n_scored = metric.aggregate("mean_batch")
    assert n_scored.tolist() == [4, 4, 3]
    assert metric.aggregate("sum")[1] == 11
    assert metric.aggregate("mean_channel")[1].tolist() == [3, 3, 3, 2]
    assert metric.aggregate("mean")[1] == 4


@pytest.mark.parametrize("names", [True, ["first", "second", "third"]])
@pytest.mark.parametrize("reduction", ["mean_batch", "mean"])
def test_results_come_by_label_as_from_monai(names, reduction):
    arguments = (False, reduction, True, False, N_CLASSES, names)
    ours, theirs = SliceDiceMetric(*arguments), DiceMetric(*arguments)
    ours(*random_maps(8))
    theirs(*random_maps(8))
    found, expected = ours.aggregate(), theirs.aggregate()
    assert isinstance(found[0], dict) == (reduction == "mean_batch")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert not isinstance(ours.aggregate("none")[0], dict)


def test_aggregating_nothing_raises_where_the_rule_is_monais():
    for metric in (SliceDiceMetric(ignore_empty=True), DiceMetric()):
        with pytest.raises(ValueError, match="aggregate"):
            metric.aggregate()


def test_nothing_to_average_is_nan_not_zero():
    empty = torch.zeros(1, 1, 3, 4, 2)
    metric = SliceDiceMetric()
    assert metric.aggregate().isnan()
    metric(empty, empty)
    assert metric.aggregate().isnan()
    metric.reset()
    assert metric.case_counts() == []
    assert metric.get_buffer() is None


def test_two_dimensional_images_are_one_slice_each():
    prediction, reference = random_maps(shape=(8, 9))
    metric = SliceDiceMetric(num_classes=N_CLASSES, reduction="mean_batch")
    metric(prediction, reference)
    assert [one.n_slices for one in metric.case_counts()] == [1, 1]
    torch.testing.assert_close(metric.aggregate_slices(), metric.aggregate())


@pytest.mark.parametrize(
    ("prediction", "n_classes", "text"),
    [
        (torch.full((1, 1, 2, 3, 4), 255), None, r"the prediction holds the labels \[255\]"),
        (torch.full((1, 1, 2, 3, 4), 0.3), None, "0.3"),
        (torch.full((1, 1, 2, 3, 4), 4), 4, r"\[4\], expected 0 to 3"),
        (torch.full((1, 3, 2, 3, 4), 0.3), None, "0.3"),
        (torch.full((1, 1, 2, 3, 4), torch.nan), None, "nan"),
    ],
)
def test_values_that_monai_would_count_as_empty_are_refused(prediction, n_classes, text):
    metric = SliceDiceMetric(num_classes=n_classes)
    with pytest.raises(LabelError, match=text):
        metric(prediction, torch.zeros(prediction.shape))


def test_shapes_and_channels_that_do_not_fit_are_refused():
    metric = SliceDiceMetric(num_classes=3)
    with pytest.raises(GeometryError, match="spatial shape"):
        metric(torch.zeros(1, 1, 2, 3, 4), torch.zeros(1, 1, 2, 3, 5))
    with pytest.raises(LabelError, match="2 channels"):
        metric(torch.zeros(1, 3, 2, 3, 4), torch.zeros(1, 2, 2, 3, 4))
    with pytest.raises(ValueError, match="slice_dim 3"):
        SliceDiceMetric(slice_dim=3)(torch.zeros(1, 1, 2, 3, 4), torch.zeros(1, 1, 2, 3, 4))
    with pytest.raises(ValueError, match="only class"):
        SliceDiceMetric(num_classes=1, include_background=False)(*torch.zeros(2, 1, 1, 2, 3, 4))
    with pytest.raises(ValueError, match="no such"):
        SliceDiceMetric(reduction="no such")
    with pytest.raises(ValueError, match="median"):
        SliceDiceMetric().aggregate("median")


class Echo(torch.nn.Module):
    def forward(self, x):
        return x


def test_it_is_the_key_metric_of_an_evaluator():
    prediction, reference = random_maps(shape=(6, 5, 4))
    cases = [{"image": p, "label": r} for p, r in zip(prediction, reference, strict=True)]
    metric = SliceDiceMetric(num_classes=N_CLASSES, include_background=False)
    handler = IgniteMetricHandler(metric, output_transform=from_engine(["pred", "label"]))
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(cases), batch_size=1),
        network=Echo(),
        key_val_metric={"val_slice_dice": handler},
    )
    evaluator.run()
    expected = DiceMetric(num_classes=N_CLASSES, include_background=False)
    expected(prediction, reference)
    key = evaluator.state.metrics["val_slice_dice"]
    assert key == pytest.approx(expected.aggregate().item(), abs=1e-7)
    assert evaluator.state.best_metric == key
    assert evaluator.state.metric_details["val_slice_dice"].shape == (2, N_CLASSES - 1)


def test_meta_tensors_are_taken():
    prediction, reference = (MetaTensor(mask) for mask in random_maps())
    metric = SliceDiceMetric(num_classes=N_CLASSES)
    metric(prediction, reference)
    assert metric.aggregate().isfinite()
