"""What training from the shell has in common, whichever network learns."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_deconv.cli.common import report, say
from napari_deconv.errors import ParameterError
from napari_deconv.registry import Parameter, Range

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_deconv.training import deep_blur, lucyd
    from napari_deconv.training.loop import Loop

P = TypeVar("P", "lucyd.Plan", "deep_blur.Plan")

_SUFFIX = ".safetensors"
# Seconds between two lines that tell how far it is.
_BETWEEN_LINES = 15.0


def check_weights(output: str) -> None:
    """Refuse a name that weights cannot have."""
    if Path(output).suffix != _SUFFIX:
        raise ParameterError(f"{output}: weights are stored in a file NAME{_SUFFIX}.")


def training_parameters(
    minutes: float | None, words: str = "How long in all."
) -> dict[str, Parameter]:
    """Return what every training can be told; without minutes the words tell the default."""
    span = Range(0.01, 10_000)
    made = [
        Parameter("minutes", float, minutes, words, range=span, allows_none=minutes is None),
        _count("steps", "How many steps, in place of a time."),
        _count("batch", "Crops of a step."),
        Parameter("seed", int, 0, "Start of the random numbers.", range=Range(0)),
        Parameter("device", str, "cpu", "Where to compute: cpu or cuda."),
    ]
    return {parameter.name: parameter for parameter in made}


def _count(name: str, words: str) -> Parameter:
    return Parameter(name, int, None, words, range=Range(1, 10_000_000), allows_none=True)


def planned(plan: P, values: Mapping[str, Any]) -> P:
    """Return a training's plan with what was told in its place."""
    names = ("minutes", "steps", "batch", "seed")
    return replace(plan, **{name: values[name] for name in names if values.get(name) is not None})


def advance(
    training: Loop, output: str, settings: Mapping[str, Any], card: Mapping[str, Any]
) -> None:
    """Train to the end, or until Ctrl-C, and write the weights."""
    shown = -_BETWEEN_LINES
    steps = training.steps()
    unit = training.unit
    try:
        for progress in steps:
            now = time.perf_counter()
            if now - shown >= _BETWEEN_LINES or progress.fraction >= 1:
                shown = now
                report(
                    f"step {progress.step}, {progress.fraction:.0%}: loss {progress.loss:.4f}, "
                    f"on pairs apart {progress.score:.4g} {unit}, best {progress.best:.4g} {unit}"
                )
    except KeyboardInterrupt:
        report("stopped; the best weights so far are kept")
    finally:
        steps.close()
    digest = training.save(Path(output), settings, card)
    say(f"{output}: {training.best_score:.4g} {unit} on pairs apart, SHA-256 {digest[:12]}…")
