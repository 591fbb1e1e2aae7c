"""Find what is automatic, once for the whole image, before it is restored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_deconv.engine.stopping import (
    HELD_OUT_SHARE,
    HeldOut,
    RelativeChange,
    Rule,
    split_photons,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import device

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine.problem import Problem
    from napari_deconv.engine.run import Run


def resolve_parameters(
    problem: Problem, parameters: dict[str, Any], noise: Noise, device: device
) -> dict[str, Any]:
    """Return the method's parameters with a number in place of every ``"auto"``."""
    import torch

    automatic = [name for name, value in parameters.items() if value == "auto"]
    if not automatic:
        return parameters
    block = problem.block(*problem.representative)
    data, floor = problem.as_wanted(block)
    tensor = torch.from_numpy(data).to(device)
    blur = problem.blur(block, data.shape, device)
    resolved = dict(parameters)
    context = problem.context(torch.as_tensor(floor, dtype=torch.float32), noise)
    for name in automatic:
        resolve = problem.method.parameters[name].auto
        assert resolve is not None, f"{name} of {problem.method.id} cannot be automatic"
        resolved[name] = resolve.resolve(tensor, blur, resolved | context)
    return resolved


def count_iterations(
    problem: Problem, parameters: dict[str, Any], noise: Noise, device: device
) -> Iterator[tuple[Run, int]]:
    """Run a trial on a representative region; yields it after each step.

    Returns (as the generator's value) the number of steps that the stopping rule found.
    """
    options = problem.options
    block = problem.block(*problem.representative)
    rule: Rule
    if options.stopping == "held-out":
        kept, held_out = split_photons(block.data, noise, options.seed)
        rule = HeldOut()
        run = problem.start(
            replace(block, data=kept),
            parameters,
            noise,
            device,
            rule=rule,
            held_out=(held_out, HELD_OUT_SHARE),
        )
    else:
        rule = RelativeChange(options.tolerance)
        run = problem.start(block, parameters, noise, device, rule=rule)
    while run.enough is None and run.iteration < options.max_iterations and run.advance():
        yield run, options.max_iterations
    run.finish()
    run.close()
    if run.enough is not None:
        return run.enough
    return rule.best if isinstance(rule, HeldOut) else run.iteration
