"""``napari-deconv methods``: a table of the restoration methods."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import say

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(words: Sequence[str]) -> int:
    """List the methods."""
    from napari_deconv.registry import methods

    Parser("napari-deconv methods", "", "List the restoration methods.").parse(words)
    width = max(60, min(shutil.get_terminal_size().columns, 100))
    first = max(map(len, methods())) + 2
    say(f"{'METHOD':<{first}}{'AXES':<7}{'PSF':<6}WHAT IT DOES")
    for name, method in sorted(methods().items()):
        axes = ", ".join(f"{ndim}D" for ndim in method.ndim)
        row = f"{name:<{first}}{axes:<7}{'yes' if method.needs_psf else 'no':<6}"
        lines = textwrap.wrap(f"{method.title}. {method.summary}", width - len(row))
        say(row + lines[0])
        for line in lines[1:]:
            say(" " * len(row) + line)
    say("\nnapari-deconv restore METHOD --help shows a method's options.")
    return 0
