"""deep-blur: how often a z-stack tells the sign of the even modes, and how often it errs.

    python benchmarks/even_sign.py DATA [--cases 8] [--sigmas 0.003 0.02]

Photographs that nothing was trained on (Kodak 17 to 24) stand for a specimen seen by NA 1.2 in
water at 0.6 um, pixels of 0.1 um: five planes of 256 x 256 pixels, 0.3 um apart. "Thin" is one
photograph in the middle plane; "lopsided" has others 0.6 and 1.2 um above it; "thick" has others
0.9 and 0.3 um below, and 0.6 and 1.2 um above. Noll 4 to 11, evenly between -0.15 and 0.15 waves.
The right sign is that with which the aberrations found are nearer to the true ones, either way
round.
"""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
from scipy.signal import fftconvolve

from identification import MODES, photographs

OPTICS = {"numerical_aperture": 1.2, "emission_wavelength": 0.6}
SPACING, SIZE, SIDE = (0.3, 0.1, 0.1), 256, 63
# Brightness of photographs, by plane.
SPECIMENS = {
    "thin": {0: 1.0},
    "lopsided": {0: 1.0, 2: 1.0, 4: 0.8},
    "thick": {-3: 0.7, -1: 0.7, 0: 1.0, 2: 0.7, 4: 0.7},
}
_PLANES, _FAR = 2, 6


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("--cases", type=int, default=8, help="stacks of each kind")
    parser.add_argument("--sigmas", type=float, nargs="+", default=[0.003, 0.02])
    given = parser.parse_args()
    objects, rows = photographs(given.data), []
    for kind in SPECIMENS:
        for sigma in given.sigmas:
            told = [told_of(objects, kind, sigma, number) for number in range(given.cases)]
            right, wrong = told.count(1), told.count(-1)
            rows.append([kind, sigma, len(told), right, wrong, len(told) - right - wrong])
    names = ["specimen", "noise", "stacks", "right", "wrong", "left open"]
    harness.table("The sign of the even modes", names, rows)
    harness.finish(given.json, {"rows": [dict(zip(names, row, strict=True)) for row in rows]})


def told_of(objects: list[Any], kind: str, sigma: float, number: int) -> int:
    """Return 1 for a sign that is right, -1 for a wrong one, 0 for one that is left open."""
    from napari_deconv.identification import identify_stack

    random = np.random.default_rng([number, 8])
    truth = random.uniform(-0.15, 0.15, len(MODES))
    image = stack_of(objects, SPECIMENS[kind], truth, random)
    image = image + sigma * random.standard_normal(image.shape)
    found = identify_stack(image, spacing=SPACING, plane=_PLANES, **OPTICS)
    if found.sign_probability == 0.5:
        return 0
    got = np.array([found.coefficients[j] for j in MODES])
    even = np.array([j in (4, 5, 6, 11) for j in MODES])
    ours, twins = got, np.where(even, -got, got)
    return 1 if distance(ours, truth, even) < distance(twins, truth, even) else -1


def distance(found: Any, truth: Any, even: Any) -> float:
    """Return the distance of aberrations, either way round."""
    return min(float(np.linalg.norm(f - truth)) for f in (found, np.where(even, found, -found)))


def stack_of(objects: list[Any], specimen: dict[int, float], truth: Any, random: Any) -> Any:
    """Return planes of a specimen, 0 to 1."""
    import torch

    from napari_deconv.optics import Microscope
    from napari_deconv.optics.pupil_field import PupilModel

    water = Microscope(**OPTICS, immersion_index=1.33, sample_index=1.33)
    shape = (2 * _FAR + 1, SIDE, SIDE)
    model = PupilModel(water, shape, SPACING, indices=MODES, pixel_integration=False)
    psfs = model.psf(torch.from_numpy(truth).float()).numpy()
    side, image = SIZE + SIDE - 1, np.zeros((2 * _PLANES + 1, SIZE, SIZE))
    for height, brightness in specimen.items():
        whole = objects[random.integers(len(objects))]
        y, x = (int(random.integers(0, n - side + 1)) for n in whole.shape)
        thing = brightness * whole[y : y + side, x : x + side]
        for plane in range(-_PLANES, _PLANES + 1):
            image[plane + _PLANES] += fftconvolve(thing, psfs[_FAR + plane - height], "valid")
    return image / image.max()


if __name__ == "__main__":
    main()
