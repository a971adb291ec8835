"""A head with face and neck around a template's brain.

MNI templates end below the cerebellum, so a network trained on them alone has never seen a tongue.
PyPI's pydeface carries a mean head of several persons with face and neck, but a blurred brain.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage, optimize

Pair = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Image (i, j, k), labels of the same shape, voxel-to-world affine (4, 4)."""

NECK_MM = 60
COARSE_MM = 5.0
RIM_MM = 5


def in_mean_head(brain: Pair, mean_head: tuple[np.ndarray, np.ndarray]) -> Pair:
    """Return a template's labeled brain inside the mean head, down to the neck.

    Args:
        brain: A head with skull at 1 mm in RAS+ order; labels 0 outside the brain, 3 white matter.
        mean_head: Image and affine of the head to put it in.

    Returns:
        The pair on the template's grid, extended downwards by ``NECK_MM``.
    """
    image, labels, affine = brain
    moving, moving_affine = mean_head
    to_moving = np.linalg.inv(moving_affine) @ register(image, affine, moving, moving_affine)
    taller = affine.copy()
    taller[2, 3] -= NECK_MM
    shape = (*image.shape[:2], image.shape[2] + NECK_MM)
    around = _sampled(moving, to_moving @ taller, shape)
    below = np.zeros((*image.shape[:2], NECK_MM))
    labels = np.concatenate([below, labels], axis=2).astype(np.uint8)
    image = np.concatenate([below, image], axis=2)
    inside = labels > 0
    scale = np.median(around[labels == 3]) / np.median(image[labels == 3])
    rim = ndimage.binary_dilation(inside, iterations=RIM_MM) & ~inside
    # Template and mean head differ by a few mm: skull and outer fluid, which are dark, lie between.
    dark = np.percentile(around[rim], 20)
    around[rim] = np.minimum(around[rim], dark)
    around[inside] = image[inside] * scale
    return np.rint(around).astype(np.int16), labels, taller


def register(
    fixed: np.ndarray, affine: np.ndarray, moving: np.ndarray, moving_affine: np.ndarray
) -> np.ndarray:
    """Return the world-to-world affine (4, 4), fixed to moving, of largest correlation.

    Twelve parameters by Powell's method on grids of 5 mm, after rough alignment of the tops.
    """
    step = max(1, round(COARSE_MM / float(np.linalg.norm(affine[:3, 0]))))
    target = ndimage.uniform_filter(fixed.astype(float), step)[::step, ::step, ::step]
    source = ndimage.uniform_filter(moving.astype(float), step)
    scaling = np.diag([step, step, step, 1.0])
    to_voxels = np.linalg.inv(moving_affine)

    def mismatch(parameters: np.ndarray) -> float:
        grid = to_voxels @ _affine(parameters) @ affine @ scaling
        sampled = _sampled(source, grid, target.shape)
        return -float(np.corrcoef(sampled.ravel(), target.ravel())[0, 1])

    start = np.zeros(12)
    start[:3] = _head_top(moving, moving_affine) - _head_top(fixed, affine)
    for free in (6, 12):  # rigid, then affine

        def of_free(values: np.ndarray, free: int = free) -> float:
            return mismatch(np.concatenate([values, start[free:]]))

        found = optimize.minimize(of_free, start[:free], method="Powell", options={"maxiter": 6})
        start[:free] = found.x
    return _affine(start)


def _affine(parameters: np.ndarray) -> np.ndarray:
    """Return the affine of 3 shifts in mm and 3 rotations, 3 scalings and 3 shears in 1/100."""
    shift, turn, scale, shear = parameters.reshape(4, 3)
    x, y, z = turn / 100
    generator = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    stretch = np.diag(scale / 100)
    stretch[(0, 0, 1), (1, 2, 2)] = shear / 100
    matrix = np.eye(4)
    matrix[:3, :3] = np.linalg.inv(np.eye(3) - generator / 2) @ (np.eye(3) + generator / 2)
    matrix[:3, :3] = matrix[:3, :3] @ (np.eye(3) + stretch)
    matrix[:3, 3] = shift
    return matrix


def _head_top(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the world point 90 mm below the top of the head, about its middle."""
    head = np.argwhere(image > np.percentile(image, 95) / 3)
    world = head @ affine[:3, :3].T + affine[:3, 3]
    top = np.percentile(world[:, 2], 99.9)
    middle = world[world[:, 2] > top - 90].mean(axis=0)
    return np.array([middle[0], middle[1], top - 90])


def _sampled(image: np.ndarray, to_voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    sampled: np.ndarray = ndimage.affine_transform(
        image.astype(np.float32), to_voxels, output_shape=shape, order=1
    )
    return sampled
