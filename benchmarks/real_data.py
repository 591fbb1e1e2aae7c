"""Every stack and image of the data folder through the shell: background, PSF, Richardson-Lucy.

    python benchmarks/real_data.py DATA OUT [--only NAME ...]

For each image the commands run that a user would type: ``background``, which also writes the
background itself; ``psf``, unless the data come with one; and ``restore richardson-lucy`` twice
with all defaults, once with ``--background auto`` (one number for the whole image; none for
photographs and simulations, which have none) and once with the background image. Checked: no
command fails, each result has the image's shape and voxel size, is finite and not negative, and
keeps the light that is not background. A contact sheet of each image goes to OUT, to be looked at:
the image, the image without background and the two restored ones, whole (stacks as maximum
projections along z and y) and in close-up.

The microscopes are guesses where the files and their sources tell nothing; they are meant to be
plausible, not true.
"""

from __future__ import annotations

import json
import subprocess
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np


@dataclass(frozen=True)
class Optics:
    """A microscope to try an image with; the spacing is a guess where the file tells none."""

    numerical_aperture: float
    emission: float
    immersion: float = 1.515
    modality: str = "widefield"
    model: str = "gibson-lanni"
    spacing: tuple[float, ...] | None = None

    @property
    def excitation(self) -> float | None:
        """Wavelength that confocal microscopes excite with, um."""
        return round(self.emission - 0.03, 3) if self.modality == CONFOCAL else None


CONFOCAL = "confocal"
# Image, and its optics or the file that holds its PSF.
IMAGES: dict[str, Optics | str] = {
    "beads/Bead_Image1_crop.tif": Optics(1.4, 0.52, modality=CONFOCAL),
    "beads/DeconvolutionSampleVerticalGrid1AU-crop.tif": Optics(1.4, 0.52, modality=CONFOCAL),
    "stacks/pollen.tif": Optics(0.8, 0.52, 1.0, CONFOCAL, spacing=(0.8, 0.2, 0.2)),
    "stacks/nuclei_8bit.tif": Optics(0.4, 0.46, 1.0, CONFOCAL),
    "stacks/spots_16bit.tif": Optics(1.4, 0.58),
    "stacks/chromosomes.tif": Optics(1.4, 0.46, modality=CONFOCAL),
    "stacks/colocsample1b-green.tif": Optics(0.8, 0.52, 1.0, CONFOCAL),
    "stacks/flybrain.tif": Optics(0.25, 0.58, 1.0, CONFOCAL),
    "stacks/cells3d_nucleus_crop.tif": Optics(0.8, 0.46, 1.0, CONFOCAL, spacing=(0.29, 0.26, 0.26)),
    "img2d/celegans_airyscan.tif": Optics(1.4, 0.52, modality=CONFOCAL, model="gaussian"),
    "img2d/nup.tif": Optics(0.5, 0.52, 1.0),
    "img2d/nup_bgsubtracted.tif": Optics(0.5, 0.52, 1.0),
    "img2d/rat_hippocampal_neuron.tif": Optics(0.8, 0.52, 1.0),
    "img2d/microtubules.tif": Optics(1.4, 0.52, spacing=(0.1, 0.1)),
    "img2d/bacteria_cords_thin.tif": Optics(0.3, 0.52, 1.0),
    "img2d/spots_uneven_background.tif": Optics(1.2, 0.52, 1.33, spacing=(0.1, 0.1)),
    "img2d/BPAE_actin.tif": Optics(1.4, 0.52, spacing=(0.1, 0.1)),
    "img2d/BPAE_mito.tif": Optics(1.4, 0.60, spacing=(0.1, 0.1)),
    "img2d/Lund_MAX_001300.tif": Optics(0.4, 0.52, 1.0, spacing=(0.4, 0.4)),
    "img2d_gt/Actin3_blurred.tif": "img2d_gt/PSF.tif",
    "stack3d_bars/data.tif": "stack3d_bars/kernel.tif",
    "psf/pycudadecon_measured_lattice_psf.tif": Optics(
        1.1, 0.52, 1.33, CONFOCAL, spacing=(0.1, 0.102, 0.102)
    ),
} | {
    f"levin/im{i}_kernel{k}_blurred.png": f"levin/kernel{k}.png"
    for i in (1, 2)
    for k in range(1, 9)
}  # fmt: skip
# Levin's kernels that are stored as a convolution needs them; the others are turned.
AS_STORED = ("kernel4", "kernel8")
# What the help texts advise for one image or another: to restore, and for the background.
RESTORE = {"img2d_gt/Actin3_blurred.tif": ["--psf-centre", "127", "127"]}
BACKGROUND = {"img2d/spots_uneven_background.tif": ["--passes", "5"]}
# Pixels without data at every edge, to be cut off first.
EMPTY_EDGE = {"img2d/celegans_airyscan.tif": 3}


TOLD = ("shape", "spacing", "iterations", "seconds", "light", "before", "after")


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("out", type=Path, help="folder for results and contact sheets")
    parser.add_argument("--only", nargs="+", default=[""], help="images whose name contains this")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    figures, rows = {}, []
    for name, optics in IMAGES.items():
        if not any(part in name for part in arguments.only):
            continue
        figures[name] = told = one(arguments.data, arguments.out, name, optics)
        rows.append([name, *(told.get(key) for key in TOLD), told["verdict"]])
        print(f"{name}: {told['verdict']}", flush=True)
        for words in told["said"]:
            print(f"    {words}")
    title = "Background and Richardson-Lucy from the shell (constant / wavelet background)"
    harness.table(title, ["", *TOLD, ""], rows)
    harness.finish(arguments.json, figures)


def one(data: Path, out: Path, name: str, optics: Optics | str) -> dict[str, Any]:
    """Take one image through the shell; return what there is to tell."""
    stem = name.replace("/", "-").rsplit(".", 1)[0]
    image = _tiff(data / name, out / f"{stem}-in.tif", EMPTY_EDGE.get(name, 0))
    kinds = ("without", "background", "psf", "constant", "wavelet")
    paths = {kind: out / f"{stem}-{kind}.tif" for kind in kinds}
    said: list[str] = []
    spacing = optics.spacing if isinstance(optics, Optics) else None
    given = ["--spacing", *map(str, spacing)] if spacing else []
    started = time.perf_counter()
    iterations = []
    try:
        words = ["background", image, "-o", paths["without"], "--overwrite", *given]
        words += ["--save-background", paths["background"], *BACKGROUND.get(name, [])]
        said += _shell(*words)
        if isinstance(optics, Optics):
            said += _shell(*_psf_words(optics, image, given), "-o", paths["psf"], "--overwrite")
        else:
            paths["psf"] = _tiff(data / optics, paths["psf"])
        constant = "auto" if isinstance(optics, Optics) else "0"
        for kind, floor in (("constant", constant), ("wavelet", paths["background"])):
            details = out / f"{stem}-{kind}.json"
            details.unlink(missing_ok=True)
            words = ["restore", "richardson-lucy", image, "--psf", paths["psf"], "--quiet"]
            words += ["--background", floor, "-o", paths[kind], "--overwrite"]
            said += _shell(*words, "--details", details, *given, *RESTORE.get(name, []))
            iterations.append(json.loads(details.read_text())["iterations"])
    except RuntimeError as error:
        return {"verdict": "FAILED", "said": [*said, str(error)]}
    return _looked_at(image, paths, spacing, out / f"{stem}.png") | {
        "iterations": " / ".join(map(str, iterations)),
        "seconds": time.perf_counter() - started,
        "said": said,
    }


def _psf_words(optics: Optics, image: Path, given: list[str]) -> list[Any]:
    words: list[Any] = ["psf", optics.model, "--like", image, "--modality", optics.modality, *given]
    words += ["--numerical-aperture", optics.numerical_aperture]
    words += ["--emission-wavelength", optics.emission, "--immersion-index", optics.immersion]
    if optics.immersion < 1.33:
        words += ["--sample-index", "1.33"]
    if optics.excitation is not None:
        words += ["--excitation-wavelength", optics.excitation]
    return words


def _shell(*words: Any) -> list[str]:
    """Run a command; return what it said, and raise what it complained of."""
    program = Path(sysconfig.get_path("scripts")) / "napari-deconv"
    command = [str(program), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode:
        raise RuntimeError(f"napari-deconv {' '.join(command[1:])}: {' '.join(lines)}")
    return lines


def _looked_at(
    image: Path, paths: dict[str, Path], spacing: tuple[float, ...] | None, picture: Path
) -> dict[str, Any]:
    """Check the results and draw the contact sheet."""
    from napari_deconv.io import read_image

    kinds = ("without", "background", "constant", "wavelet")
    files = {"image": read_image(str(image))} | {k: read_image(str(paths[k])) for k in kinds}
    arrays = {k: np.asarray(f.data).astype(np.float64) for k, f in files.items()}
    before = arrays["image"]
    wanted = spacing or files["image"].spacing
    faults, light, ranges = [], [], []
    for kind in kinds:
        told = files[kind].spacing
        if (told is None) != (wanted is None) or (wanted and not np.allclose(told, wanted)):
            faults.append(f"voxel size of {kind} is {told}, not {wanted}")
    for kind in ("constant", "wavelet"):
        after = arrays[kind]
        if after.shape != before.shape:
            faults.append(f"{kind}: shape {after.shape}")
        if not np.isfinite(after).all() or after.min() < 0 or not after.max() > 0:
            faults.append(f"{kind}: range {after.min():g} to {after.max():g}")
        details = json.loads(paths[kind].with_suffix(".json").read_text())
        floor = arrays["background"] if kind == "wavelet" else details["background"]
        light.append(after.sum() / np.maximum(before - floor, 0).sum())
        if not 0.5 < light[-1] < 1.6:
            faults.append(f"{kind}: {light[-1]:.2f} of the light")
        ranges.append(f"{after.max():.4g}")
    sheet([before, arrays["without"], arrays["constant"], arrays["wavelet"]], picture)
    return {
        "verdict": "; ".join(faults) or "good",
        "shape": "x".join(map(str, before.shape)),
        "spacing": " ".join(f"{s:.3g}" for s in wanted) if wanted else "-",
        "light": " / ".join(f"{share:.2f}" for share in light),
        "before": f"{before.min():.4g} to {before.max():.4g}",
        "after": f"0 to {' / '.join(ranges)}",
    }


def _tiff(path: Path, copy: Path, edge: int = 0) -> Path:
    """Return a TIFF of a file: itself, or a grey copy of a PNG (Levin's kernels put upright)."""
    if path.suffix != ".png" and not edge:
        return path
    from napari_deconv.io import read_image, write_image

    if path.suffix == ".png":
        from PIL import Image

        pixels, axes, spacing = np.asarray(Image.open(path).convert("L")), "YX", None
        if path.stem.startswith("kernel") and path.stem not in AS_STORED:
            pixels = pixels[::-1, ::-1]
    else:
        file = read_image(str(path))
        pixels, axes, spacing = np.asarray(file.data), file.axes, file.spacing
        pixels = pixels[..., edge:-edge, edge:-edge]
    pixels = np.ascontiguousarray(pixels)
    write_image(copy, pixels, axes=axes, spacing=spacing, overwrite=True)
    return copy


def sheet(images: list[np.ndarray], path: Path, size: int = 400) -> None:
    """Draw images side by side: whole above, in close-up below."""
    from PIL import Image

    rows = [[_flat(image) for image in images]]
    middle = _liveliest(_plane(images[0]))
    rows.append([_plane(image)[middle] for image in images])
    lines = []
    for row in rows:
        tiles = []
        for plane in row:
            low, high = np.percentile(plane, (0.5, 99.8))
            grey = np.clip((plane - low) / max(high - low, 1e-12), 0, 1) ** 0.8
            factor = size / max(plane.shape)
            shape = [max(1, round(n * factor)) for n in plane.shape]
            picture = Image.fromarray((255 * grey).astype(np.uint8))
            kind = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS
            drawn = np.asarray(picture.resize((shape[1], shape[0]), kind))
            tiles.append(np.pad(drawn, ((0, size - shape[0]), (0, size - shape[1])), "constant"))
        lines.append(np.hstack([np.pad(t, 3, constant_values=60) for t in tiles]))
    Image.fromarray(np.vstack(lines)).save(path)


def _flat(image: np.ndarray) -> np.ndarray:
    """Return a stack's maximum projections along z and, below, along y; a plane as it is."""
    if image.ndim == 2:
        return image
    side = image.max(axis=1)
    repeat = max(1, round(image.shape[1] / 3 / len(side)))
    return np.vstack([image.max(axis=0), np.repeat(side, repeat, axis=0)])


def _plane(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 2 else image[len(image) // 2]


def _liveliest(plane: np.ndarray, size: int = 96) -> tuple[slice, slice]:
    """Return the window that varies most."""
    best: tuple[float, tuple[slice, slice]] = (-1.0, (slice(None), slice(None)))
    for y in range(0, max(1, plane.shape[0] - size + 1), size // 4):
        for x in range(0, max(1, plane.shape[1] - size + 1), size // 4):
            window = slice(y, y + size), slice(x, x + size)
            best = max(best, (float(plane[window].std()), window), key=lambda b: b[0])
    return best[1]


if __name__ == "__main__":
    main()
