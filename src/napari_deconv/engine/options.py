"""What every restoration can be told, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.registry import SLOW_STEPS, Advanced, Range, Unit, parameters_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_deconv.registry import Method, Parameter


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of :func:`napari_deconv.restore` that do not depend on the method.

    Parameters
    ----------
    iterations
        Number of steps, or automatic: as many as the stopping rule finds.
    stopping
        The rule behind automatic iterations. Held-out: a tenth of the photons is set aside, and
        the steps that predict it best are counted. Relative change: until a step changes the
        estimate by less than the tolerance. Automatic takes relative change for a method that
        approaches one result and held-out photons for the others, which go on into the noise.
    tolerance
        Relative change of the estimate at which that rule stops; a method that measures how far
        it is from its result has to come as close as that, too.
    max_iterations
        Most steps that automatic iterations may take. Automatic is 100; 500 for plain steps and
        Tikhonov-Miller's, which get on slowly, and where held-out photons decide and psf_error is
        0.
    borders
        What lies beyond the image: more of the object, which the PSF lets shine in (extended), its
        mirror image (reflect), the opposite side (circular), or nothing (zero).
    spacing
        Voxel size of the image on its last axes (Z, Y, X).
    psf_spacing
        Voxel size of the PSF; where it differs from the image's, the PSF is resampled.
    psf_centre
        Where the PSF's origin is: at index n // 2, at its brightest voxel, at its centroid, or at
        the voxel given. Another origin moves the result, it does not blur it.
    psf_background
        Offset to subtract from the PSF; automatic takes it from the faces of raw camera counts.
    psf_energy
        Share of the PSF's energy to keep: what lies outside costs time and memory.
    psf_error
        How far the PSF may be wrong, relative to the light: automatic strengths leave alone what is
        finer than that and the noise. 0 for a simulated image and its own PSF; what that PSF does
        not pass then tells how much noise there is.
    offset
        Counts of the camera without light; subtracted first. Automatic takes the intensity at
        which the image's own noise vanishes.
    background
        Intensity above the offset that lies over the whole image, such as haze: part of the model
        for photon-counting methods, subtracted for the others. Automatic takes the level of the
        darkest regions for offset and haze together; it needs regions without signal.
    gain
        Counts of the image for each photon; automatic estimates it from the image's own noise.
    read_noise
        Standard deviation of the camera's read noise; automatic estimates it.
    tiles
        Size of the blocks to work in: automatic only splits what does not fit into memory.
    memory_limit
        Memory that the job may take, all in all; 60 % of what is free when not given.
    halo_exchange
        Steps after which blocks take over what their neighbours have found. They then agree with
        one piece to rounding, and take longer: 1 reads the image once a step, more steps need
        wider halos. For plain Richardson-Lucy and Landweber. Without it blocks overlap, which
        leaves differences below what can be seen.
    device
        Where to compute: auto, cpu, cuda, cuda:1, mps.
    threads
        Processor threads; all that torch is set to when not given.
    seed
        Seed of everything random (held-out photons, noise that is added).
    """

    iterations: Annotated[int | Literal["auto"], Range(1, 10000)] = "auto"
    stopping: Annotated[Literal["auto", "held-out", "relative-change"], Advanced()] = "auto"
    tolerance: Annotated[float, Range(1e-8, 0.5, logarithmic=True), Advanced()] = 1e-3
    max_iterations: Annotated[int | Literal["auto"], Range(1, 10000), Advanced()] = "auto"
    borders: Annotated[Literal["extended", "reflect", "circular", "zero"], Advanced()] = "extended"
    spacing: Annotated[tuple[float, ...] | None, Range(1e-6, 1e6), Unit("um")] = None
    psf_spacing: Annotated[tuple[float, ...] | None, Range(1e-6, 1e6), Unit("um")] = None
    psf_centre: Annotated[
        Literal["index", "peak", "centroid"] | tuple[int, ...], Range(0), Advanced()
    ] = "index"
    psf_background: Annotated[float | Literal["auto"], Unit("counts"), Advanced()] = "auto"
    psf_energy: Annotated[float, Range(0.5, 1), Advanced()] = 0.999
    psf_error: Annotated[float, Range(0, 0.5), Advanced()] = 0.01
    offset: Annotated[float | Literal["auto"], Unit("counts")] = 0.0
    background: Annotated[float | Literal["auto"], Unit("counts"), Advanced()] = 0.0
    gain: Annotated[
        float | Literal["auto"], Range(1e-30), Unit("counts per photon"), Advanced()
    ] = "auto"
    read_noise: Annotated[float | Literal["auto"], Range(0), Unit("counts"), Advanced()] = 0.0
    tiles: Annotated[Literal["auto"] | tuple[int, ...] | None, Range(1), Advanced()] = "auto"
    memory_limit: Annotated[float | None, Range(0.01), Unit("GB"), Advanced()] = None
    halo_exchange: Annotated[int | None, Range(1, 100), Advanced()] = None
    device: Annotated[str, Advanced()] = "auto"
    threads: Annotated[int | None, Range(1, 1024), Advanced()] = None
    seed: Annotated[int, Range(0, 2**32 - 1), Advanced()] = 0


def stopping_rule(method: Method, options: Options) -> str:
    """Return the rule behind automatic iterations: "held-out" or "relative-change"."""
    if options.stopping != "auto":
        return options.stopping
    return "relative-change" if method.converges else "held-out"


def most_iterations(method: Method, parameters: Mapping[str, Any], options: Options) -> int:
    """Return the most steps that automatic iterations may take."""
    if options.max_iterations != "auto":
        return options.max_iterations
    # Where the PSF is exact, nothing but noise sets an end to what photons tell.
    exact = options.psf_error == 0 and stopping_rule(method, options) == "held-out"
    return SLOW_STEPS if exact else method.most(parameters)


# Only a method that takes steps can be told how many.
OF_ITERATIONS = ("iterations", "stopping", "tolerance", "max_iterations", "halo_exchange")


def parameters_for(method: Method) -> dict[str, Parameter]:
    """Return every parameter that restoring with a method takes: its own, then the common ones."""
    common = parameters_of(Options)
    if not method.iterative:
        common = {name: each for name, each in common.items() if name not in OF_ITERATIONS}
    own = {name: each for name, each in method.parameters.items() if name not in common}
    return own | common
