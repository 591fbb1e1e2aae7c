"""Find what is automatic, once for the whole image, before it is restored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_deconv.engine.options import most_iterations, stopping_rule
from napari_deconv.engine.stopping import HeldOut, RelativeChange, split_photons

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, device

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine.problem import Block, Problem
    from napari_deconv.engine.run import Run


def resolve_parameters(
    problem: Problem, parameters: dict[str, Any], noise: Noise, device: device
) -> dict[str, Any]:
    """Return the method's parameters with a number in place of every ``"auto"``.

    Only those remain that are found by trying (:class:`~napari_deconv.registry.Search`), unless
    they know a number without it.
    """
    entries = problem.method.parameters
    automatic = [entries[name] for name, value in parameters.items() if value == "auto"]
    automatic = [entry for entry in automatic if entry.search is None or entry.auto is not None]
    resolved = dict(parameters)
    asked = {"iterations": problem.options.iterations, "psf_error": problem.options.psf_error}
    looks: dict[bool, tuple[Block, Tensor, dict[str, Any]]] = {}
    for entry in automatic:
        assert entry.auto is not None, f"{entry.name} of {problem.method.id} cannot be automatic"
        known, data, blur = resolved | asked, None, None
        if entry.auto.needs_data:
            wide = entry.auto.needs_blur(known)
            if wide not in looks:
                looks[wide] = problem.representative_part(noise, device, around=wide)
            block, data, context = looks[wide]
            known = resolved | context | asked
            blur = problem.blur(block, data.shape, device) if wide else None
        resolved[entry.name] = entry.auto.resolve(data, blur, known)
    return resolved


class Trial:
    """Restores a representative region to find how many steps are enough.

    Attributes
    ----------
    iterations
        The number found, once :meth:`steps` has come to its end.
    most
        The most that it may be.
    reason
        Why, in words.
    """

    def __init__(
        self, problem: Problem, parameters: dict[str, Any], noise: Noise, device: device
    ) -> None:
        options = problem.options
        self.iterations, self.most = 1, most_iterations(problem.method, parameters, options)
        block = problem.block(*problem.representative)
        self._rule: HeldOut | RelativeChange
        self.reason = ""
        if stopping_rule(problem.method, options) == "relative-change":
            self.reason = "then a step changes the estimate by less than the tolerance"
            self._rule = RelativeChange(options.tolerance)
            self._run = problem.start(block, parameters, noise, device, rule=self._rule)
            return
        self._rule = HeldOut(block.data.size)
        # What the method takes for zero must not be held against it.
        data = block.data.clip(min=0) if "background" in problem.method.parameters else block.data
        kept, held_out = split_photons(data, noise, options.seed)
        self._run = problem.start(
            # What splitting puts below zero is nothing to tell the user about.
            replace(block, data=kept.clip(min=min(0.0, float(data.min())))),
            parameters,
            noise,
            device,
            rule=self._rule,
            held_out=held_out,
        )

    def steps(self) -> Iterator[Run]:
        """Yield the trial run after each step."""
        run = self._run
        while run.enough is None and run.iteration < self.most and run.advance():
            yield run
        run.finish()
        run.close()
        if isinstance(self._rule, HeldOut):
            self.reason = self._rule.reason
        if run.enough is not None:
            self.iterations = run.enough
        else:
            self.iterations = self._rule.best if isinstance(self._rule, HeldOut) else run.iteration
            if self.iterations >= self.most - 1:
                self.reason = f"{self.most} is the most that was allowed"
