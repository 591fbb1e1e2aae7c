"""``napari-deconv demo``: a built-in sample from blurred to restored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import report, say
from napari_deconv.cli.progress import Progress, duration
from napari_deconv.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PICTURE = "napari-deconv-demo.png"


def run(words: Sequence[str]) -> int:
    """Restore the sample, print the gain, draw it, show it."""
    parser = Parser(
        "napari-deconv demo",
        "...",
        "Generate a widefield stack, restore it by Richardson-Lucy, print what was gained, draw "
        "it before and after, and open it in napari where there is a screen.",
    )
    parser.add_argument(
        "-o",
        "--output",
        default=_PICTURE,
        metavar="FILE",
        help=f"the picture [default: {_PICTURE}]",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument("--no-viewer", action="store_true", help="do not open napari")
    arguments, _ = parser.parse(words)

    from napari_deconv.demo import draw, has_screen, run_demo, show
    from napari_deconv.io import check_target

    path = Path(arguments.output)
    if path.suffix.lower() != ".png":
        raise FileError(f"{path}: the picture is a PNG; let its name end in .png.")
    # A demonstration may be repeated: its own picture is replaced.
    check_target(path, overwrite=arguments.overwrite or arguments.output == _PICTURE)
    report("Generating a widefield stack of filaments and beads ...")
    progress = Progress()
    try:
        demo = run_demo(progress=progress.show)
    finally:
        progress.close()
    details = demo.details
    say(str(demo))
    say(
        f"Richardson-Lucy, {details.iterations} iterations ({details.stopped_because}), "
        f"{duration(details.seconds)} on {details.device}"
    )
    say(f"picture: {draw(demo, path)}")
    if arguments.no_viewer:
        return 0
    if not has_screen():
        say("No screen to open napari on (or no Qt): see the picture.")
        return 0
    show(demo)
    return 0
