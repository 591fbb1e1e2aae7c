"""``napari-deconv train deep-blur``: the network that restores once the PSF is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import check_outputs, command_record
from napari_deconv.cli.training import advance, check_weights, training_parameters
from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PHOTOGRAPHS = "kodak_144x256x256_gray.npz"


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

    wanted = {
        name: values[name] for name in ("minutes", "steps", "batch", "seed") if name in values
    }
    training = Training(
        folder,
        replace(RECIPES[given.size], **wanted),
        folder=None if given.keep is None else Path(given.keep),
        device=values.get("device", "cpu"),
    )
    record = command_record("train", ["deep-blur", *words])
    card = {"command": record["command"], "version": record["version"]}
    advance(training, given.output, {}, card)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "napari-deconv train deep-blur",
        "--images FOLDER -o WEIGHTS",
        "Train deep-blur's restoration on photographs and synthetic microscopy behind aberrated "
        "pupils. Ctrl-C ends early and keeps the best weights. Use them with restore deep-blur "
        "--weights FILE.",
    )
    parser.add_argument(
        "--images", required=True, metavar="FOLDER", help=f"folder of {_PHOTOGRAPHS}"
    )
    parser.add_argument(
        "--size",
        choices=("small", "large"),
        default="small",
        help="small: 1.9 million parameters, two hours on one core; large: 25 million, for a GPU",
    )
    parser.add_argument(
        "--keep",
        metavar="FOLDER",
        help="keep what is needed to go on; given again, the training goes on from there",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="NAME.safetensors")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_parameters("the training", training_parameters(50.0))
    return parser
