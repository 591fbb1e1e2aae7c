"""``napari-deconv train deep-blur-identification``: what finds the PSF in an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import command_record, report, say
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.registry import Parameter, Range

if TYPE_CHECKING:
    from collections.abc import Sequence

_PHOTOGRAPHS = "kodak_144x256x256_gray.npz"
_MINUTES = "How long for each part; by default 1, 70, 8, 12 and 10."
_PARTS = ("prior", "encoder", "sign", "weighing", "resnet")


def run(words: Sequence[str]) -> int:
    """Train deep-blur's identification."""
    given, values = _parser().parse(words)
    images, output = Path(given.images), Path(given.output)
    if not (images / _PHOTOGRAPHS).is_file():
        raise InputError(f"{images} has no {_PHOTOGRAPHS}: give the folder of the photographs.")
    wanted = given.parts or list(_PARTS)
    unknown = sorted(set(wanted) - set(_PARTS))
    if unknown:
        raise ParameterError(f"There is no part {unknown[0]!r}. Known: {', '.join(_PARTS)}.")
    if output.exists() and not output.is_dir():
        raise ParameterError(f"{output} is a file; the weights go to a folder.")
    if not given.overwrite and any(output.glob("deep-blur-*.safetensors")):
        raise ParameterError(f"{output} has weights already: give --overwrite to replace them.")
    from napari_deconv.training.deep_blur_identification import PARTS, train

    minutes = values.get("minutes")
    # Cards travel with the weights: they name folders, not where these are on this computer.
    folders = {given.images, given.output, given.keep}
    told = [Path(word).name if word in folders else word for word in words]
    record = command_record("train", ["deep-blur-identification", *told])
    reached = train(
        images,
        Path(given.keep) if given.keep is not None else output,
        output,
        parts={name: PARTS[name] if minutes is None else float(minutes) for name in wanted},
        seed=values.get("seed", 0),
        command={"command": record["command"], "version": record["version"]},
        say=report,
    )
    for name, scores in reached.items():
        say(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in scores.items()))
    return 0


def _parser() -> Parser:
    parser = Parser(
        "napari-deconv train deep-blur-identification",
        "--images FOLDER -o FOLDER",
        "Train what finds the PSF in an image: the spectra of sharp scenes, the network that reads "
        "spectra, the one that decides which way round a PSF is, the weighing of all, and the "
        "residual encoder of the paper. Under two hours on one core.",
    )
    parser.add_argument(
        "--images", required=True, metavar="FOLDER", help=f"folder of {_PHOTOGRAPHS}"
    )
    parser.add_argument(
        "--parts", nargs="+", metavar="PART", help=f"only some of: {', '.join(_PARTS)}"
    )
    parser.add_argument(
        "--keep",
        metavar="FOLDER",
        help="keep what is needed to go on; given again, the training goes on from there",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="for the weights")
    parser.add_argument("--overwrite", action="store_true", help="replace weights in FOLDER")
    parser.add_parameters(
        "the training",
        {
            "minutes": Parameter(
                "minutes",
                float,
                None,
                _MINUTES,
                range=Range(0.001, 10_000),
                allows_none=True,
            ),
            "seed": Parameter("seed", int, 0, "Start of the random numbers.", range=Range(0)),
        },
    )
    return parser
