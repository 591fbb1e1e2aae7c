"""``napari-deconv train``: weights for what one microscope does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv.cli import train_deep_blur, train_identification
from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import (
    check_outputs,
    chosen_spacing,
    command_record,
    open_image,
    report,
    spacing_parameter,
)
from napari_deconv.cli.training import advance, check_weights, planned, training_parameters
from napari_deconv.errors import InputError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_deconv.training.lucyd import Training
    from napari_deconv.training.recipes import Recipe

_IMAGES = (".tif", ".tiff", ".zarr")


def run(words: Sequence[str]) -> int:
    """Train a network."""
    parser = _parser()
    known = "Known: lucyd, deep-blur, deep-blur-identification."
    if not words or words[0].startswith("-"):
        if words and words[0] in ("-h", "--help"):
            parser.parse(words)
        raise ParameterError(f"Which network? {known} (napari-deconv train lucyd --help)")
    if words[0] == "deep-blur":
        return train_deep_blur.run(words[1:])
    if words[0] == "deep-blur-identification":
        return train_identification.run(words[1:])
    if words[0] != "lucyd":
        raise ParameterError(f"There is no network {words[0]!r} to train. {known}")
    given, values = parser.parse(words[1:])
    check_weights(given.output)
    sources = [given.psf, given.pairs, given.recipe]
    if sum(source is not None for source in sources) != 1:
        raise ParameterError("Give one of --psf FILE, --pairs BLURRED SHARP, or --recipe NAME.")
    check_outputs(
        [],
        others=[given.output, str(Path(given.output).with_suffix(".json"))],
        overwrite=given.overwrite,
        inputs=[name for name in (given.psf, given.image) if name is not None],
    )
    recipe = _recipe(given, values)
    training = _training(recipe, given, values)
    record = command_record("train", words)
    card = {
        "title": recipe.title,
        "training": recipe.data,
        "limits": recipe.limits,
        "command": record["command"],
        "version": record["version"],
    }
    advance(training, given.output, recipe.settings, card)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "napari-deconv train lucyd",
        "--psf PSF --image IMAGE -o WEIGHTS",
        "Train LUCYD for your microscope: on phantoms blurred with your PSF and as noisy as your "
        "image, or on pairs of a bad and a good image. Ctrl-C ends early and keeps the best "
        "weights. Use them with restore lucyd --weights FILE.",
    )
    parser.add_argument("--psf", metavar="FILE", help="the PSF: TIFF or OME-Zarr")
    parser.add_argument("--image", metavar="FILE", help="an image whose noise is to be learned")
    parser.add_argument(
        "--pairs",
        nargs=2,
        metavar=("BLURRED", "SHARP"),
        help="two folders with images of the same names",
    )
    parser.add_argument("--recipe", metavar="NAME", help="train weights of the package anew")
    parser.add_argument(
        "--start",
        metavar="WEIGHTS",
        help='begin with these weights; "none" for random ones [default: those of the package]',
    )
    parser.add_argument(
        "--keep",
        metavar="FOLDER",
        help="keep what is needed to go on; given again, the training goes on from there",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="NAME.safetensors")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    spacing = {"spacing": spacing_parameter()}
    parser.add_parameters("the training", training_parameters(15.0) | spacing)
    return parser


def _recipe(given: Any, values: dict[str, Any]) -> Recipe:
    """Return what to train on."""
    import numpy as np

    from napari_deconv.training import own
    from napari_deconv.training.recipes import RECIPES

    if given.recipe is not None:
        if given.recipe not in RECIPES:
            raise ParameterError(
                f"There is no recipe {given.recipe!r}. Known: {', '.join(RECIPES)}."
            )
        return RECIPES[given.recipe]()
    if given.pairs is not None:
        return own.from_pairs(_pairs(*given.pairs))
    psf = open_image(given.psf)
    if given.image is None:
        return own.from_psf(
            np.asarray(psf.data), spacing=chosen_spacing(values, psf), psf_spacing=psf.spacing
        )
    image = open_image(given.image)
    spacing = chosen_spacing(values, image)
    pixels = np.asarray(image.data)
    while pixels.ndim > psf.data.ndim:
        pixels = pixels[len(pixels) // 2]
    return own.from_psf(np.asarray(psf.data), pixels, spacing=spacing, psf_spacing=psf.spacing)


def _pairs(blurred: str, sharp: str) -> list[tuple[Any, Any]]:
    import numpy as np

    folders = [Path(blurred), Path(sharp)]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder: --pairs takes two folders of images.")
    names = [
        sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _IMAGES)
        for folder in folders
    ]
    common = sorted(set(names[0]) & set(names[1]))
    alone = sorted(set(names[0]) ^ set(names[1]))
    if alone:
        report(f"without a partner, left out: {', '.join(alone)}")
    return [
        (np.asarray(open_image(str(a)).data), np.asarray(open_image(str(b)).data))
        for a, b in ((folders[0] / name, folders[1] / name) for name in common)
    ]


def _training(recipe: Recipe, given: Any, values: dict[str, Any]) -> Training:
    from napari_deconv.training.lucyd import Training

    plan = planned(recipe.plan, values)
    report("making the first pairs")
    return Training(
        recipe.supply(plan.seed),
        recipe.judged(plan.seed),
        plan,
        folder=None if given.keep is None else Path(given.keep),
        device=values.get("device", "cpu"),
        start=_start(given, len(recipe.shape)),
    )


def _start(given: Any, ndim: int) -> dict[str, Tensor] | None:
    """Return the weights to begin with."""
    from napari_deconv.networks.shelf import pretrained
    from napari_deconv.networks.weights import load_weights

    if given.start == "none" or (given.recipe is not None and given.start is None):
        return None
    own = {3: "lucyd-mixture", 2: "lucyd-2d"}[ndim]
    if given.start is None and own not in pretrained():
        return None
    name = given.start or own
    source = f"lucyd-{name}" if f"lucyd-{name}" in pretrained() else name
    loaded = load_weights(source, "lucyd")
    if (loaded.settings.get("ndim"), loaded.settings.get("variant")) != (ndim, "repaired"):
        raise ParameterError(f"The weights {name!r} are of another kind than what is trained.")
    return loaded.tensors
