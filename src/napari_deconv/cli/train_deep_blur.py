"""``napari-deconv train deep-blur``: the network that restores once the PSF is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import check_outputs, command_record, report
from napari_deconv.cli.training import advance, check_weights, planned, training_parameters
from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PHOTOGRAPHS = "kodak_144x256x256_gray.npz"
_MINUTES = (
    "How long in all; by default 182 for small, 600 for large. Before that PSFs are found in 2,000 "
    "images to learn from, in some 20 minutes."
)


def run(words: Sequence[str]) -> int:
    """Train deep-blur's restoration."""
    given, values = _parser().parse(words)
    check_weights(given.output)
    folder = Path(given.images)
    if not (folder / _PHOTOGRAPHS).is_file():
        raise InputError(f"{folder} has no {_PHOTOGRAPHS}: give the folder of the photographs.")
    check_outputs(
        [],
        others=[given.output, str(Path(given.output).with_suffix(".json"))],
        overwrite=given.overwrite,
        inputs=[],
    )
    from napari_deconv.training.deep_blur import RECIPES, Training

    training = Training(
        folder,
        planned(RECIPES[given.size], values),
        microscopy=None if given.microscopy is None else Path(given.microscopy),
        folder=None if given.keep is None else Path(given.keep),
        device=values.get("device", "cpu"),
        say=report,
    )
    record = command_record("train", ["deep-blur", *words])
    card = {"command": record["command"], "version": record["version"]}
    advance(training, given.output, {}, card)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "napari-deconv train deep-blur",
        "--images FOLDER -o WEIGHTS",
        "Train deep-blur's restoration on photographs, microscope images and synthetic microscopy "
        "behind aberrated pupils. Ctrl-C ends early and keeps the best weights. Use them with "
        "restore deep-blur --weights FILE.",
    )
    parser.add_argument(
        "--images", required=True, metavar="FOLDER", help=f"folder of {_PHOTOGRAPHS}"
    )
    parser.add_argument(
        "--microscopy",
        metavar="FOLDER",
        help="folder of sharp microscope images or stacks (TIFF) to learn from as well",
    )
    parser.add_argument(
        "--size",
        choices=("small", "large"),
        default="small",
        help="small: 1.9 million parameters, three hours on one core; large: 25 million, for a GPU",
    )
    parser.add_argument(
        "--keep",
        metavar="FOLDER",
        help="keep what is needed to go on; given again, the training goes on from there",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="NAME.safetensors")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_parameters("the training", training_parameters(None, _MINUTES))
    return parser
