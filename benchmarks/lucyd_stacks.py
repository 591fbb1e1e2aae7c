"""LUCYD on recorded stacks: pollen blurred, with figures; nuclei, spots, chromosomes, to look at.

    python benchmarks/lucyd_stacks.py DATA [--json FILE] [--pictures FOLDER]

DATA is the folder of test images, as for ``restoration.py``. Pollen is the sharp stack of
``truths.py``, blurred with its widefield PSF, at three numbers of photons: every set of weights,
and beside them what classic methods reach that are given the PSF. The others have no truth: one
plane and one section along z of each, as recorded, restored, and what was added and taken away,
side by side in a PNG.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
from truths import cases

import napari_deconv as nd

if TYPE_CHECKING:
    from collections.abc import Callable

    Image = Any

WEIGHTS = ("mixture", "widefield", "light-sheet", "confocal")


@dataclass(frozen=True)
class Recorded:
    """A stack, its voxels in micrometres, and the weights that are made for it."""

    file: str
    spacing: tuple[float, float, float]
    weights: tuple[str, ...]


RECORDED = {
    "nuclei": Recorded("nuclei_8bit.tif", (4.0, 0.829, 0.829), ("mixture", "confocal")),
    "spots": Recorded("spots_16bit.tif", (0.4, 0.094, 0.094), ("mixture", "widefield")),
    "chromosomes": Recorded("chromosomes.tif", (0.15, 0.034, 0.034), ("mixture", "confocal")),
}


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("--pictures", type=Path, help="where to put pictures of the others")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for case in cases(given.data, 0):
        if case.name.startswith("pollen"):
            found[case.name] = pollen(case)
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
        for name, recorded in RECORDED.items():
            looked_at(name, recorded, given.data / "stacks" / recorded.file, given.pictures)
    harness.finish(given.json, found)


def pollen(case: Any) -> dict[str, Any]:
    """Return the scores of a blurred stack, by contender."""
    ((image, psf, truth),) = case.images
    contenders: dict[str, Callable[[], Image]] = {"image": lambda: image}
    for name in WEIGHTS:
        contenders[name] = lambda name=name: nd.restore(
            image, "lucyd", weights=name, spacing=case.spacing
        )
    for name, options in (("richardson-lucy", {}), ("variational", {"prior": "hessian"})):
        contenders[name] = lambda name=name, options=options: nd.restore(
            image, name, psf, spacing=case.spacing, **options
        )
    scores = {name: case.score(make(), truth) for name, make in contenders.items()}
    rows = [[name, *(round(value, 3) for value in row.values())] for name, row in scores.items()]
    harness.table(case.name, ["", *scores["image"]], rows)
    return scores


def looked_at(name: str, recorded: Recorded, path: Path, folder: Path) -> None:
    """Write a picture of a stack and of what its weights make of it."""
    import imageio.v3
    import tifffile

    image = tifffile.imread(path).astype(np.float32)
    panels = [image]
    for weights in recorded.weights:
        made = nd.restore(image, "lucyd", weights=weights, spacing=recorded.spacing)
        panels += [made, made - image]
    sheet = np.hstack(
        [np.pad(panel(each, recorded.spacing), 2, constant_values=255) for each in panels]
    )
    imageio.v3.imwrite(folder / f"{name}.png", sheet.repeat(2, 0).repeat(2, 1))


def panel(stack: Image, spacing: tuple[float, ...]) -> Image:
    """Return the middle plane above the middle section along z, as bytes."""
    from scipy.ndimage import zoom

    section = zoom(stack[:, stack.shape[1] // 2], (spacing[0] / spacing[2], 1), order=1)
    both = np.vstack([stack[len(stack) // 2], section])
    low, high = np.percentile(both, (0.5, 99.8))
    made: Image = (255 * ((both - low) / max(high - low, 1e-9)).clip(0, 1)).astype(np.uint8)
    return made


if __name__ == "__main__":
    main()
