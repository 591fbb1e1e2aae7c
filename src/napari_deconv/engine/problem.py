"""What is to be restored, from what, with which kernel: everything checked before a job starts."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.arrays import out_of_scale
from napari_deconv.assessment.noise import Noise, estimate_noise
from napari_deconv.background import estimate_offset
from napari_deconv.engine.exact import no_more_than_seen
from napari_deconv.engine.exchange import plain_parameters
from napari_deconv.engine.kernels import (
    VariantKernel,
    maps_of,
    no_blur,
    psfs_of,
    ready_kernel,
    spacing_of,
)
from napari_deconv.engine.options import Options, parameters_for
from napari_deconv.engine.plan import Demand, choose_tiles, on_grid, reads_beyond, rim_of
from napari_deconv.engine.run import Run
from napari_deconv.engine.source import Beyond, Source
from napari_deconv.engine.statistics import effective_offset
from napari_deconv.engine.stopping import HeldOutPhotons
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.operators.convolution import Convolution, grid_shape
from napari_deconv.operators.product_convolution import ProductConvolution
from napari_deconv.optics.variant import VariantPsf
from napari_deconv.registry import Method, check_parameters, parameters_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, device

    from napari_deconv.engine.stopping import Rule
    from napari_deconv.operators.convolution import Borders
    from napari_deconv.operators.kernel import Kernel

# Voxels of the region on which automatic values are found.
REPRESENTATIVE = 2_000_000
_LEAST_SAMPLE = 100_000
# Frames that are looked at to find one that is not blank.
_FRAMES = 8
# Side of a PSF that has yet to be found, for forecasts.
_FOUND = 31
# Bytes that any job takes: modules loaded at first use, threads, buffers of libraries; and what
# chunks take while they are written.
_ALWAYS, _WRITING = 20_000_000, 30_000_000
# Voxels whose multiples blocks have along each axis in a file, so that they are whole chunks.
_FILE_GRID = 16


@dataclass(frozen=True)
class Block:
    """A piece of one frame, with what lies around it, as the method will see it.

    Attributes
    ----------
    data, floor
        Intensities, and the part of them that is background.
    kernel, borders
        The forward model.
    inner
        Where the piece itself lies in it.
    start
        Where in the image it begins.
    """

    data: NDArray[np.float32]
    floor: NDArray[np.float32] | float
    kernel: Kernel
    borders: tuple[Borders, ...]
    inner: tuple[slice, ...]
    start: tuple[int, ...] = ()


class Problem:
    """Image, PSF, method and options, checked and ready to be cut into blocks.

    Parameters
    ----------
    image, method, psf, region, given
        As for :class:`~napari_deconv.engine.Job`, the method itself and the options as a mapping.
    level
        What an automatic background was found to be before, so that nobody looks for it again.
    """

    def __init__(
        self,
        image: Any,
        method: Method,
        psf: Any,
        region: Sequence[slice] | None,
        given: Mapping[str, Any],
        *,
        level: float | None = None,
    ) -> None:
        self.method = method
        self.options, self.parameters, background = _sorted_out(method, given)
        if method.needs_psf and psf is None:
            raise InputError(
                f"{method.title} needs a PSF. Generate one from your objective's data, or choose "
                "the layer or file that holds it."
            )
        psfs, self._kernel_index = psfs_of(psf, image)
        ndim = psfs[0].ndim if psfs else self._ndim_without_psf(image)
        if ndim not in method.ndim:
            raise InputError(f"{method.title} does not work on images of {ndim} axes.")
        if not method.iterative and any(isinstance(p, VariantPsf) for p in psfs):
            raise InputError(
                f"{method.title} divides by the spectrum of one PSF, but this PSF changes from "
                "place to place. Choose a method that takes steps, such as Richardson-Lucy, or "
                "give it the mean PSF."
            )
        self.source = Source(image, ndim, region)
        if self.options.halo_exchange is not None:
            if region is not None:
                raise ParameterError("halo_exchange works on whole images, not on a region.")
            self.parameters = plain_parameters(method, self.parameters, self.options.borders)
        self._sample = REPRESENTATIVE
        self._representative: tuple[tuple[int, ...], tuple[slice, ...]] | None = None
        _refuse_unfit(image)
        if isinstance(self.options.tiles, tuple) and len(self.options.tiles) != ndim:
            raise ParameterError(f"tiles {self.options.tiles} needs {ndim} numbers, one an axis.")
        self.notes: list[str] = []
        self.warnings: list[str] = [method.warning] if method.warning else []
        self.has_psf = bool(psfs)
        finds = method.finds_psf is not None
        self._use([self._kernel(p) for p in psfs] or [no_blur(ndim, _FOUND if finds else 1)])
        if isinstance(background, str) and level is not None:
            background = level
        self._floor_source = self._background(background, image, region)
        self._blur: tuple[Any, Convolution] | None = None

    @property
    def is_blind(self) -> bool:
        """Whether the PSF has yet to be found."""
        return self.method.finds_psf is not None and not self.has_psf

    def take(self, psf: NDArray[Any] | VariantPsf, error: float) -> None:
        """Go on with a PSF that was found, all of it, and with what may be wrong with it."""
        self.options = replace(self.options, psf_error=error, psf_energy=1.0)
        self.has_psf = True
        self._use([self._kernel(psf)])
        self.forget()

    def _use(self, kernels: list[Kernel]) -> None:
        self.kernels = kernels
        times = max(self.method.halo, self.options.halo_exchange or 0)
        grid = self.method.grid
        halo = [
            max(round(times * max(k.array.shape[a] for k in kernels)), self.method.margin)
            for a in range(kernels[0].array.ndim)
        ]
        # Blocks begin on the method's grid with their halo, too.
        self.halo = tuple(-(-n // grid) * grid for n in halo)

    def with_method(self, method: Method, parameters: Mapping[str, Any]) -> Problem:
        """Return the same problem for another method, with those of the parameters that it has."""
        other = copy.copy(self)
        other.method = method
        common, known = parameters_of(Options), {**self.parameters, **parameters}
        other.parameters = {
            name: own.default if known.get(name, "auto") == "auto" else known[name]
            for name, own in method.parameters.items()
            if name not in common
        }
        return other

    @property
    def background_level(self) -> float | None:
        """The background's level, found or given; None where it is an image."""
        return None if isinstance(self._floor_source, Source) else self._floor_source

    @property
    def background_source(self) -> Source | None:
        """The background, where it is an image."""
        return self._floor_source if isinstance(self._floor_source, Source) else None

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Voxel size on the spatial axes, um, where it was given."""
        return spacing_of(self.options.spacing, len(self.source.spatial_shape))

    def psf_digest(self) -> str:
        """Return a digest of the kernels as they are used."""
        told = hashlib.sha256()
        for kernel in self.kernels:
            told.update(repr((kernel.array.shape, kernel.origin)).encode())
            told.update(np.ascontiguousarray(kernel.array).data)
            if isinstance(kernel, VariantKernel) and kernel.model is not None:
                told.update(np.ascontiguousarray(kernel.components).data)
                told.update(np.ascontiguousarray(kernel.model.maps).data)
        return told.hexdigest()

    def demand(self, device: device) -> Demand:
        """Return what decides the memory of a block."""
        largest = max(self.kernels, key=lambda k: k.array.size)
        shape, origin = largest.array.shape, largest.origin
        parameters = dict(self.parameters)
        if self.method.iterative:
            parameters["iterations"] = self.options.iterations
        borders = self.options.borders
        maps = max((maps_of(k) for k in self.kernels), default=(1, 0))
        return Demand(self.method, parameters, shape, origin, borders, device, self.halo, *maps)

    def tile(self, device: device, budget: float, *, to_file: bool = False) -> tuple[int, ...]:
        """Return the size of a block's core; in a file, one that chunks can be cut of."""
        whole = self.source.spatial_shape
        wanted = self.options.tiles
        if wanted is None:
            return whole
        if wanted == "auto":
            grids = [math.lcm(self.method.grid, _FILE_GRID if to_file else 1)] * len(whole)
            return choose_tiles(whole, self.demand(device), budget, grids)
        return on_grid(wanted, whole, [self.method.grid] * len(whole))

    def beside(self, device: device, *, to_file: bool = False) -> int:
        """Return the bytes of main memory that a job takes beside its blocks."""
        if device.type != "cpu":
            return 0
        result = _WRITING if to_file else 4 * math.prod(self.source.shape)
        return _ALWAYS + self.source.buffers + result

    def block(
        self, frame: Sequence[int], core: Sequence[slice], halo: Sequence[int] | None = None
    ) -> Block:
        """Read a piece of a frame with its surroundings, as far as the method sees or as given."""
        borders = self.options.borders
        beyond: Beyond = "reflect" if reads_beyond(self.method, borders) else borders
        rim = rim_of(self.method, borders)
        outer, inner = self.source.outer(core, halo or self.halo, beyond, rim=rim)
        kernel = self.kernels[self._kernel_index(self.source.place_of(frame))]
        margins = None
        if reads_beyond(self.method, borders) and rim is None:
            # What a filter takes to be beyond the whole image: then a piece sees the same.
            whole = self.source.whole_shape
            grid = grid_shape(whole, kernel.array.shape, kernel.origin, borders, self.method.grid)
            margins = [g - n for g, n in zip(grid, whole, strict=True)]
        data = self.source.read(frame, outer, beyond, margins)
        floor: NDArray[np.float32] | float
        if isinstance(self._floor_source, Source):
            floor = self._floor_source.read(frame, outer, beyond, margins)
        else:
            floor = self._floor_source
        # Beyond a cut the object goes on; what lies there is read, mirrored or repeated.
        words = tuple(
            borders if i == slice(0, n) else "extended"
            for i, n in zip(inner, data.shape, strict=True)
        )
        return Block(data, floor, kernel, words, inner, tuple(piece.start for piece in outer))

    def start(
        self,
        block: Block,
        parameters: Mapping[str, Any],
        noise: Noise,
        device: device,
        *,
        rule: Rule | None = None,
        held_out: NDArray[np.float32] | None = None,
    ) -> Run:
        """Set the method to work on a block; a rule may watch what was held out of it."""
        import torch

        data, floor, gone = self.as_wanted(block, noise)
        noise = replace(noise, offset=noise.offset - gone)
        model = torch.as_tensor(floor, dtype=torch.float32).to(device)
        blur, aside = self.blur(block, data.shape, device), None
        if held_out is not None:
            aside = HeldOutPhotons(torch.from_numpy(held_out).to(device), blur, noise)
        return Run(
            self.method,
            dict(parameters) | self.context(model, noise),
            torch.from_numpy(data).to(device),
            blur,
            floor=model,
            noise=noise,
            rule=rule,
            held_out=aside,
            psf_error=self.options.psf_error,
            predicts=self.has_psf,
        )

    def representative_part(
        self, noise: Noise, device: device, *, around: bool = True
    ) -> tuple[Block, Tensor, dict[str, Any]]:
        """Return the representative region, its data as the method wants them, and the context.

        Without what is ``around`` it is for those who do not look at the blur.
        """
        import torch

        block = self.block(*self.representative, halo=None if around else (0,) * len(self.halo))
        data, floor, gone = self.as_wanted(block, noise)
        noise = replace(noise, offset=noise.offset - gone)
        context = self.context(torch.as_tensor(floor, dtype=torch.float32), noise)
        return block, torch.from_numpy(data).to(device), context

    def context(self, floor: Any, noise: Noise) -> dict[str, Any]:
        """Return the parameters that the engine fills in, where the method knows them."""
        whole = "offset" in self.method.parameters
        values = {
            "background": floor,
            "gain": noise.gain,
            # To know where there is no light is to want all of the noise.
            "read_noise": noise.read_noise if self.options.read_noise or whole else 0.0,
            "offset": noise.offset,
            "psf_error": self.options.psf_error,
            "seed": self.options.seed,
        }
        if self.method.iterative:
            # The engine counts the steps; the method goes on for as long as it is asked to.
            values["iterations"] = int(self.method.parameters["iterations"].range.upper or 10**9)
        if self.method.schedule is not None:
            # One that plans its steps ahead has to know.
            asked = self.options.iterations
            planned = asked == "auto"
            values["iterations"] = self.method.schedule(self.parameters) if planned else int(asked)
        return {name: values[name] for name in self.method.parameters if name in values}

    def blur(self, block: Block, shape: Sequence[int], device: device) -> Convolution:
        """Return the forward model of a block; the last one is kept, since most are alike."""
        kernel = block.kernel
        varies = isinstance(kernel, VariantKernel)
        place = block.start if varies else ()
        key = (id(kernel), tuple(shape), block.borders, place, self.method.grid, str(device))
        if self._blur is None or self._blur[0] != key:
            self._blur = None  # before the next one asks for memory
            self._blur = (key, self._operator(block, shape, device))
        return self._blur[1]

    def _operator(self, block: Block, shape: Sequence[int], device: device) -> Convolution:
        kernel, spacing = block.kernel, self.spacing
        if isinstance(kernel, VariantKernel) and kernel.model is not None:
            return ProductConvolution(
                kernel.components,
                kernel.weights,
                shape,
                block.borders,
                order=kernel.model.order,
                origin=kernel.origin,
                start=block.start,
                spacing=spacing,
                multiple=self.method.grid,
                device=device,
            )
        return Convolution(
            kernel.array,
            shape,
            block.borders,
            origin=kernel.origin,
            spacing=spacing,
            multiple=self.method.grid,
            device=device,
        )

    def forget(self) -> None:
        """Let go of the forward model and its memory."""
        self._blur = None

    def warn(self, words: str) -> None:
        """Keep something that the user should look at."""
        if words not in self.warnings:
            self.warnings.append(words)

    def noise(self, device: device) -> Noise:
        """Return the camera's noise: given, or estimated from a representative region."""
        wanted_gain, wanted_read = self.options.gain, self.options.read_noise
        block = self.block(*self.representative, halo=(0,) * len(self.halo))
        if min(block.data.shape[-2:]) < 12:
            self.notes.append("The image is too small to tell its noise: a gain of 1 was used.")
            noise = Noise(1.0, 0.0, 0.0)
        else:
            noise = estimate_noise(block.data[block.inner])
            if self.has_psf and self.options.psf_error == 0:
                blur = self.blur(block, block.data.shape, device)
                noise = no_more_than_seen(noise, block.data, blur)
                self.forget()
        read = float(wanted_read) if wanted_read not in ("auto", 0) else noise.read_noise
        if wanted_gain == "auto":
            return Noise(noise.gain, noise.offset, read)
        if wanted_read == 0:
            # Whoever knows the gain has photons in mind: those of the background are photons too,
            # and what looks like an offset is where the noise vanishes.
            return Noise(float(wanted_gain), effective_offset(noise), 0.0)
        return Noise(float(wanted_gain), noise.offset, read)

    @property
    def representative(self) -> tuple[tuple[int, ...], tuple[slice, ...]]:
        """A frame, and in it a region of bounded size in which there is much to see."""
        if self._representative is None:
            self._representative = self.lively_region(self._sample)
        return self._representative

    def sample_within(self, device: device, budget: float) -> None:
        """Take a representative region whose restoration fits into so many bytes."""
        shape, demand, voxels = self.source.spatial_shape, self.demand(device), REPRESENTATIVE
        # Held-out photons and what remains without them are kept beside the data.
        while voxels > _LEAST_SAMPLE and budget < sum(
            (demand.bytes(demand.outer(self.sample_size(voxels), shape)), 12 * voxels)
        ):
            voxels //= 2
        if voxels != self._sample:
            self._sample, self._representative = voxels, None

    def lively_region(self, voxels: int) -> tuple[tuple[int, ...], tuple[slice, ...]]:
        """Return a frame, and in it the region of so many voxels in which there is most to see.

        It is the frame in the middle, or one near it where that is blank: a shutter was closed.
        """
        frames = list(self.source.frames)
        size = self.sample_size(voxels)
        middle = len(frames) // 2
        nearest = sorted(range(len(frames)), key=lambda number: abs(number - middle))
        for number in nearest[:_FRAMES] if len(frames) > 1 else ():
            region = self._liveliest(frames[number], size)
            block = self.source.read(frames[number], region)
            if block.min() < block.max():
                return frames[number], region
        return frames[middle], self._liveliest(frames[middle], size)

    def _liveliest(self, frame: tuple[int, ...], size: tuple[int, ...]) -> tuple[slice, ...]:
        if size == self.source.spatial_shape:
            return tuple(slice(0, n) for n in size)
        return self.source.liveliest(frame, size)

    def sample_size(self, voxels: int) -> tuple[int, ...]:
        """Return the shape of a region of at most so many voxels, stacks unsplit if possible."""
        size = list(self.source.spatial_shape)
        while math.prod(size) > voxels:
            axis = int(np.argmax([n if n > 32 else 0 for n in size[-2:]])) + len(size) - 2
            if size[axis] <= 32:
                axis = 0
            size[axis] = -(-size[axis] // 2)
        return tuple(size)

    # Inside ----------------------------------------------------------------------------------

    def as_wanted(
        self, block: Block, noise: Noise
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | float, float]:
        """Return data and background as the method's model has them, and what was subtracted."""
        data, floor = block.data, block.floor
        gone = self._offset(noise)
        if "background" not in self.method.parameters:
            gone = gone + floor
            floor = 0.0
        elif self.options.background == "auto" and not isinstance(floor, np.ndarray):
            # What was found is the camera's offset and haze together; only haze has noise.
            found = noise.offset if self.options.read_noise else effective_offset(noise)
            gone = min(gone or found, floor)
            floor = floor - gone
        if np.any(gone):
            data = np.asarray(data - gone, np.float32)
        elif "background" in self.method.parameters and data.min() < 0:
            share = float(np.mean(data < 0))
            self.warn(
                f"{share:.1%} of the voxels are below zero, which no number of photons is; they "
                "count as zero. If a background was subtracted, restore the image with it and "
                "give it as the background."
            )
        if "background" in self.method.parameters:
            # Less than no light cannot be there: a model below zero has no likelihood.
            floor = np.maximum(floor, np.float32(0)) if np.ndim(floor) else max(floor, 0.0)
            if not self.options.read_noise and data.min() < 0:
                data = np.maximum(data, 0)
        return np.ascontiguousarray(data), floor, float(np.mean(gone))

    def _ndim_without_psf(self, image: Any) -> int:
        """Return how many axes are spatial: as many as there are voxel sizes, or all."""
        if self.method.finds_psf is not None:
            return 2
        given = len(self.options.spacing or ())
        most = min(np.ndim(image), max(self.method.ndim))
        return given if given in self.method.ndim and given < most else most

    def _offset(self, noise: Noise) -> Any:
        """Return the counts without light that the user gave or left to be found."""
        if self.options.offset == "auto":
            return max(effective_offset(noise), 0.0)
        return float(self.options.offset)

    def _kernel(self, psf: NDArray[Any] | VariantPsf) -> Kernel:
        kernel = ready_kernel(psf, self.options, self.source)
        self.notes += [words for words in kernel.notes if words not in self.notes]
        for words in kernel.warnings:
            self.warn(words)
        return kernel

    def _background(
        self, background: Any, image: Any, region: Sequence[slice] | None
    ) -> Source | float:
        ndim = len(self.source.spatial_shape)
        if isinstance(background, str):
            frame, core = self.representative
            outer, _ = self.source.outer(core, (0,) * ndim, self.options.borders)
            return float(estimate_offset(self.source.read(frame, outer, self.options.borders)))
        if not hasattr(background, "shape"):
            return float(background)
        if tuple(background.shape) != tuple(image.shape):
            raise InputError(
                f"The background {tuple(background.shape)} has another shape than the image "
                f"{tuple(image.shape)}."
            )
        return Source(background, ndim, region)


def _sorted_out(method: Method, given: Mapping[str, Any]) -> tuple[Options, dict[str, Any], Any]:
    """Tell options from the method's own parameters, and check all of them."""
    common = parameters_of(Options)
    parameters = parameters_for(method)
    values = dict(given)
    background = values.get("background", 0.0)
    if hasattr(background, "shape") and np.ndim(background):
        del values["background"]
    checked = check_parameters(method.id, parameters, values)
    options = Options(**{k: v for k, v in checked.items() if k in common})
    if isinstance(background, str) or not hasattr(background, "shape") or not np.ndim(background):
        background = options.background
    return options, {k: v for k, v in checked.items() if k not in common}, background


def _refuse_unfit(image: Any) -> None:
    """Refuse an image in memory that shows nothing, or too large or small numbers."""
    if not isinstance(image, np.ndarray) or not image.size:
        return
    low, high = image.min(), image.max()
    if low == high:
        raise InputError(
            f"The image is constant (every value is {low}): there is nothing to restore."
        )
    if out_of_scale(float(low), float(high)):
        raise InputError(
            f"The image's values are from {low:g} to {high:g}; the largest has to be between "
            "1e-12 and 1e15. Multiply the image by a constant, and divide the result by it."
        )
