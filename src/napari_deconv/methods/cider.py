"""CiDeR: a network fitted to one image, with classic deconvolution inside."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import cycle, product
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.errors import ParameterError
from napari_deconv.methods import _cider_costs
from napari_deconv.methods import _zero_shot as zero_shot
from napari_deconv.methods._level import typical_level
from napari_deconv.operators.classics import TV_TO_HESSIAN, after, classics
from napari_deconv.registry import Advanced, Auto, Range, Search, Unit, method, never

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    import torch
    from torch import Tensor, nn

    from napari_deconv.methods._zero_shot import Piece
    from napari_deconv.operators.convolution import Convolution

    Step = tuple[Tensor, None, Mapping[str, float]]

# --- The paper's figures -------------------------------------------------------------------------
PAPER_STEPS, PAPER_RATE = 3000, 1e-2
# Shares of the steps after which the learning rate is halved: 2000, 2300 and 2700 of 3000.
_HALVINGS = (2000 / 3000, 2300 / 3000, 2700 / 3000)
# Richardson-Lucy steps on the features, and the Hessian's weight a pixel; the paper prints neither:
# those of its authors' demonstration.
_FEATURE_STEPS, PAPER_SMOOTHNESS = 50, 0.06

# --- The fast preset's ---------------------------------------------------------------------------
TRAINED = "cider-refiner"
EXTRACTOR = "cider-extractor"
_STEPS = {"trained": 25, "scratch": 240}
# Parts of the photons that the network sees while the others judge it, and how many such splits.
_SHARE, SPLITS = 0.8, {2: 4, 3: 2}
# Weakest strength that is searched for: where an image is so clean that photons would want less, it
# is the PSF that is not exact.
LEAST = 1e-3
# Share that is set aside for the guard.
_GUARDED = 0.1
_RATES = {"trained": 2e-4, "scratch": 1e-2}
# A network without training first learns to copy the classic image, for this share of the steps.
_COPYING = 0.4
# Noise over intensity below which an image counts as clean.
_CLEAN = 0.03
# Voxels of an object that is worked on in one piece: 2D, 3D. A trained network knows planes, and
# learns as well from smaller pieces of a stack.
LARGEST = {2: 330 * 330, 3: 48 * 112 * 112}
LARGEST_TRAINED = {2: 330 * 330, 3: 200_000}
# Voxels of an object that a trained network is fitted to and judged by: of a larger image, a part.
STUDIED = {2: 600 * 600, 3: 500_000}
# Voxels of planes that a network sees at once when it need not learn from them.
SEEN = 400_000
# The guard mixes in so many parts.
_QUARTERS = 4


def _features(data: None, blur: None, parameters: Mapping[str, Any]) -> str:
    del data, blur
    return "estimates" if parameters["preset"] == "fast" else "filter-bank"


def _strength(data: None, blur: None, parameters: Mapping[str, Any]) -> float | str:
    del data, blur
    return "auto" if parameters["preset"] == "fast" else PAPER_SMOOTHNESS


def _schedule(parameters: Mapping[str, Any]) -> int:
    if parameters["preset"] == "paper":
        return PAPER_STEPS
    # Where the network comes trained, a few steps adapt it.
    scratch = parameters["weights"] == "none" or parameters["features"] not in ("auto", "estimates")
    return _STEPS["scratch" if scratch else "trained"]


@method(
    "cider",
    title="CiDeR",
    group="learned",
    cites=[
        "Chobola et al. 2023, doi:10.1109/ICCVW60793.2023.00406",
        "Ulyanov et al. 2018, doi:10.1109/CVPR.2018.00984",
    ],
    halo=2.0,
    arrays=lambda _: (0.0, 2.0),
    floats=_cider_costs.floats,
    seconds=_cider_costs.seconds,
    schedule=_schedule,
)
def cider(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 25,
    preset: Literal["fast", "paper"] = "fast",
    prior: Literal["hessian", "tv"] = "hessian",
    strength: Annotated[
        float | Literal["auto"],
        Range(1e-8, 1e2, logarithmic=True),
        Auto(_strength, needs_data=False),
        Search(LEAST, 1.0, method="variational"),
    ] = "auto",
    features: Annotated[
        Literal["auto", "estimates", "filter-bank", "extractor"],
        Auto(_features, needs_data=False),
        Advanced(),
    ] = "auto",
    weights: Annotated[str, Advanced()] = "pretrained",
    seeds: Annotated[int, Range(1, 8), Advanced()] = 1,
    guard: Annotated[bool, Advanced()] = True,
    sparsity: Annotated[float, Range(0, 100), Advanced()] = 0.0,
    level: Annotated[
        float | Literal["auto"],
        Range(1e-30),
        Unit("counts"),
        Advanced(),
        Auto(typical_level, needs_blur=never),
    ] = "auto",
    background: Annotated[float, Range(0), Advanced()] = 0.0,
    read_noise: Annotated[float, Range(0), Unit("counts"), Advanced()] = 0.0,
    gain: Annotated[float, Range(1e-9), Unit("counts per photon"), Advanced()] = 1.0,
    seed: Annotated[int, Range(0, 2**32 - 1), Advanced()] = 0,
) -> Iterator[Any]:
    r"""For noisy images that may take a minute: a network improves on the classic image, guarded.

    .. math:: \min_\theta \; D(H G_\theta(F), y) + \lambda R(G_\theta(F)) + \beta |G_\theta(F)|_1

    A generator G makes the object of deconvolved features F and is fitted to this one image. The
    fast preset begins with the classic image (``variational``) and a network that was trained to
    improve on such images, adapts it to this one, and keeps of it what photons that were set aside
    confirm. The paper preset is Chobola et al.'s scheme as printed: a random network of 322,913
    parameters, 3000 steps of NAdam on 1 - SSIM with the Hessian's l1 norm.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        Steps of fitting the network; automatic takes the preset's own plan.
    preset
        The engineered scheme (fast), or the publication's (paper), for planes only.
    prior
        What the classic image is expected to be like, and with it the network's: of few bends
        (hessian) or of few edges (tv).
    strength
        Weight of the prior: larger is smoother, smaller keeps more noise. In the paper preset it
        is its lambda, per pixel.
    features
        What the network is given: classic estimates side by side (estimates), filtered images that
        are deconvolved one by one (filter-bank), or those of a trained feature extractor.
    weights
        Trained weights: "pretrained" takes our refiner's, "none" begins with a random network;
        else a name or a safetensors file. Of the extractor none come along: give a file with it.
    seeds
        Networks that are fitted, each with random numbers of its own; the result is their mean.
    guard
        Keep no more of the network's image than predicts photons that it has not seen better than
        the classic image does.
    sparsity
        Weight beta of the l1 norm, for images that are dark but for few spots.
    level
        Typical intensity of the image, which makes the strength independent of its unit;
        automatic takes the mean above the background.
    background
        Intensity b that is added to the image everywhere, such as a camera's offset and haze.
    read_noise
        Standard deviation of the camera's read noise, in counts of the image.
    gain
        Counts of the image for each photon.
    seed
        Start of the random numbers.
    """
    import torch

    variance = read_noise**2 / gain
    data = (data + variance).clamp_(min=0)
    floor = torch.as_tensor(background, dtype=data.dtype, device=data.device) + variance
    noise = math.sqrt(gain * max(float(data.mean()), 0.0))
    task = _Task(
        data,
        blur,
        floor,
        float(level),
        float(gain),
        noise,
        float(strength),
        prior,
        sparsity,
        iterations,
    )
    if preset == "paper":
        yield from _paper(task, features, weights, seed)
    else:
        yield from _fast(task, features, weights, seeds, guard, seed)


@dataclass
class _Task:
    """What is to be restored, and towards what; ``noise`` is that of the mean intensity."""

    data: Tensor
    blur: Convolution
    floor: Tensor
    level: float
    gain: float
    noise: float
    strength: float
    prior: str
    sparsity: float
    steps: int

    def part(self, largest: int) -> _Task:
        """Return the part of the image where most is to be seen, its object no larger than that."""
        core = zero_shot.Pieces(self.blur, largest).core
        if core == self.blur.data_shape:
            return self

        def life(where: tuple[slice, ...]) -> float:
            seen = self.data[where]
            return float(seen.var()) - self.gain * float(seen.mean())

        where = max(zero_shot.places(core, self.blur.data_shape), key=life)
        start = [each.start for each in where]
        floor = self.floor[where] if self.floor.ndim else self.floor
        return replace(
            self, data=self.data[where], blur=self.blur.resized(core, start), floor=floor
        )

    @property
    def clean(self) -> bool:
        return self.noise < _CLEAN * self.level

    @property
    def order(self) -> int:
        return 1 if self.prior == "tv" else 2

    @property
    def darkest(self) -> float:
        return 1e-4 * self.level

    def classics(self, data: Tensor) -> Generator[None, None, Tensor]:
        """Make the classic estimates; the strength was found for the prior that was chosen."""
        hessian = self.strength / (TV_TO_HESSIAN if self.prior == "tv" else 1.0)
        return (
            yield from classics(
                data,
                self.blur,
                self.floor,
                level=self.level,
                strength=hessian,
                noise=max(self.noise, 1e-4 * self.level),
            )
        )

    @property
    def classic(self) -> int:
        """Channel of the classic image."""
        return 3 if self.prior == "tv" else 1


# --- Fast ----------------------------------------------------------------------------------------


@dataclass
class _Part:
    """Some of the image's photons: what the network is given, and what it is judged by."""

    inputs: Tensor
    classic: Tensor
    target: Tensor


def _fast(
    task: _Task, features: str, weights: str, seeds: int, guard: bool, seed: int
) -> Iterator[Any]:
    import torch

    generator = np.random.default_rng([seed, 7])
    ndim = task.data.ndim
    stack = yield from task.classics(task.data)
    classic = stack[task.classic] * task.level
    yield classic, None, _terms(task, classic)
    trained = features == "estimates" and weights != "none"
    make = _inputs(features, weights)
    study = task.part(STUDIED[ndim]) if trained else task
    held = seen = None
    if guard:
        # The guard's photons are never shown to a network that it judges.
        kept, held = zero_shot.thinned(study.data, 1 - _GUARDED, task.gain, 0.0, generator)
        seen = yield from _part(study, make, kept, held)
    source = study.data if held is None else kept
    if trained or not task.clean:
        parts = []
        for _ in range(SPLITS[ndim]):
            one, other = zero_shot.thinned(source, _SHARE, task.gain, 0.0, generator)
            parts.append((yield from _part(study, make, one, other)))
    else:
        parts = [(yield from _part(study, make, source, source))]
    inputs = yield from make(task, task.data, stack)
    networks = []
    for number in range(seeds):
        torch.manual_seed(seed + number)
        networks.append(_network(len(inputs), weights if trained else "none", task))
    del stack
    judge = _Judge(study, seen, classic)
    if trained:
        judge.remember(networks, _mean_image(networks, inputs, task))
    largest = (LARGEST_TRAINED if trained else LARGEST)[ndim]
    pieces = zero_shot.Pieces(study.blur, largest)
    steps = _fit(study, networks, parts, pieces, generator, trained)
    best = classic
    for number, terms in enumerate(steps, 2):
        if worth_a_look(number, task.steps, part=study is not task):
            best = judge(networks, _mean_image(networks, inputs, task))
            terms = {**terms, "share of the network": judge.share}
            task.blur(best, borrow=True)
        yield best, None, terms


def worth_a_look(number: int, steps: int, *, part: bool) -> bool:
    """Whether the whole image is made at a step: seldom where only a part is studied."""
    if part:
        return number >= steps or number == 2
    return number >= steps or number & (number - 1) == 0 or number % 25 == 0


def _terms(task: _Task, image: Tensor) -> dict[str, float]:
    model = task.blur(image) + task.floor
    misfit = zero_shot.photon_misfit(model, task.data, task.darkest) / task.level
    return {"misfit": float(misfit)}


def _inputs(features: str, weights: str) -> Callable[..., Generator[None, None, Tensor]]:
    """Return what makes the network's input of an image and its classic estimates."""

    def estimates(task: _Task, data: Tensor, stack: Tensor) -> Generator[None, None, Tensor]:
        del task, data
        yield
        return stack

    def filtered(task: _Task, data: Tensor, stack: Tensor) -> Generator[None, None, Tensor]:
        import torch

        maps = _feature_maps(task, data, features, weights)
        count = 8 if task.noise > _CLEAN * task.level else _FEATURE_STEPS
        deconvolved = []
        for each in maps:
            deconvolved.append((yield from _signed_lucy(task, each, count)))
        return torch.cat([stack, torch.stack(deconvolved)])

    return estimates if features == "estimates" else filtered


def _feature_maps(task: _Task, data: Tensor, features: str, weights: str) -> Tensor:
    """Return 16 feature maps of the image, in units of its typical intensity."""
    import torch

    from napari_deconv.networks.extractor import Extractor
    from napari_deconv.networks.filter_bank import apply_filters, filter_bank
    from napari_deconv.networks.weights import load_weights

    image = (data - task.floor) / task.level
    if features == "filter-bank":
        return apply_filters(image, filter_bank(image.ndim))
    if image.ndim == 3:
        raise ParameterError("The extractor is for planes; choose other features for a stack.")
    extractor = Extractor()
    loaded = load_weights(EXTRACTOR if weights in ("pretrained", "none") else weights, "extractor")
    extractor.load_state_dict(loaded.tensors)
    extractor.to(image.device)
    with torch.no_grad():
        maps: Tensor = extractor(image[None, None])[0]
    return maps


def _signed_lucy(task: _Task, feature: Tensor, steps: int) -> Generator[None, None, Tensor]:
    """Deconvolve what is positive and what is negative of a feature apart: both are light."""
    import torch

    zero = torch.zeros((), dtype=feature.dtype, device=feature.device)
    parts = []
    for part in (feature.clamp(min=0), (-feature).clamp(min=0)):
        if float(part.max()) > 0:
            parts.append((yield from after(steps, part, task.blur, zero)))
        else:
            parts.append(torch.zeros(task.blur.object_shape, device=feature.device))
    return parts[0] - parts[1]


def _part(
    task: _Task,
    make: Callable[..., Generator[None, None, Tensor]],
    shown: Tensor,
    judged: Tensor,
) -> Generator[None, None, _Part]:
    stack = yield from task.classics(shown)
    inputs = yield from make(task, shown, stack)
    return _Part(inputs, stack[task.classic].clone(), judged)


def _network(inputs: int, weights: str, task: _Task) -> nn.Module:
    """Return a network that makes an image of a stack, both in units of the typical intensity."""
    from napari_deconv.networks.generator import STACK, Generator, Plan
    from napari_deconv.networks.refiner import Refiner
    from napari_deconv.networks.weights import load_weights

    if weights != "none":
        refiner = Refiner()
        source = TRAINED if weights == "pretrained" else weights
        refiner.load_state_dict(load_weights(source, "refiner").tensors)
        network: nn.Module = refiner
    elif task.data.ndim == 2:
        network = Generator(Plan(inputs=inputs))
    else:
        network = Generator(Plan(**{**vars(STACK), "inputs": inputs}))
    return placed_network(network, task.data.device, task.data.ndim)


def placed_network(network: nn.Module, device: torch.device, ndim: int) -> nn.Module:
    """Return a network where and as it computes best."""
    from napari_deconv.networks.precision import layout

    return network.to(device).to(memory_format=layout(device, ndim))  # type: ignore[no-any-return, call-overload]


def make_image(network: nn.Module, placed: Tensor) -> Tensor:
    """Return the image, in order of place, of a piece of a stack, in order of place."""
    import torch
    from torch.nn import functional

    from napari_deconv.networks.precision import autocast, layout
    from napari_deconv.networks.refiner import Refiner

    if isinstance(network, Refiner):
        # It knows planes: those of a stack are its batch.
        planes = placed[None] if placed.ndim == 3 else placed.transpose(0, 1)
        whole = torch.is_grad_enabled() or placed[0].numel() <= SEEN
        count = len(planes) if whole else max(1, SEEN // planes[0, 0].numel())
        made = []
        with autocast(placed.device):
            for some in torch.split(planes, count):
                made.append(network(some.contiguous(memory_format=layout(placed.device))).float())
        return torch.cat(made).reshape(placed.shape[1:])
    batch = placed[None].contiguous(memory_format=layout(placed.device, placed.ndim - 1))
    with autocast(placed.device):
        made = network(batch)
    # Unlike a sigmoid this has no top, and it is linear where there is light.
    bounded: Tensor = functional.softplus(made[0, 0].float(), beta=3.0)
    return bounded


def _fit(
    task: _Task,
    networks: list[nn.Module],
    parts: list[_Part],
    pieces: zero_shot.Pieces,
    generator: np.random.Generator,
    trained: bool,
) -> Iterator[dict[str, float]]:
    """Take steps, all networks by turns on the same part; yields the terms of the loss."""
    import torch

    rate = _RATES["trained" if trained else "scratch"]
    optimisers = [torch.optim.Adam(each.parameters(), lr=rate) for each in networks]
    copying = 0 if trained else round(_COPYING * task.steps)
    order = cycle(parts)
    back_projection = None
    step = 0
    while True:
        part = next(order)
        piece = pieces.random(generator)
        if task.clean and not trained and (back_projection is None or piece.blur is not task.blur):
            back_projection = zero_shot.BackProjection(piece.blur)
        share = zero_shot.cosine(step - copying, task.steps - copying) if step >= copying else 1.0
        for network, optimiser in zip(networks, optimisers, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * share * min(1.0, (step + 1) / 10)
            with torch.enable_grad():
                placed = make_image(network, piece.of(part.inputs))
                if step < copying:
                    loss = (placed - piece.of(part.classic)).abs().mean()
                    terms = {"distance from the classic image": loss}
                else:
                    loss, terms = _loss(task, part, piece, placed, back_projection, trained)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        step += 1
        yield {name: float(value.detach()) for name, value in terms.items()}


def _loss(
    task: _Task,
    part: _Part,
    piece: Piece,
    placed: Tensor,
    back_projection: zero_shot.BackProjection | None,
    trained: bool,
) -> tuple[Tensor, dict[str, Tensor]]:
    model = zero_shot.blurred(piece.as_object(placed) * task.level, piece.blur)
    y = part.target[piece.data]
    floor = task.floor[piece.data] if task.floor.ndim else task.floor
    if back_projection is not None:
        misfit = back_projection((model + floor - y) / task.level)
    elif task.clean:
        misfit = 0.5 * ((model + floor - y) / task.noise).square().mean()
    else:
        misfit = zero_shot.photon_misfit(model + floor, y, task.darkest) / task.level
    terms = {"misfit": misfit}
    loss = misfit
    # Targets with noise of their own leave nothing to overfit, and need no prior.
    if not trained and task.clean:
        smooth = zero_shot.roughness(placed, task.order, task.blur.spacing)
        terms["prior"] = task.strength * smooth
        loss = loss + terms["prior"]
    if task.sparsity:
        terms["sparsity"] = task.sparsity * placed.abs().mean()
        loss = loss + terms["sparsity"]
    return loss, terms


def _mean_image(networks: list[nn.Module], inputs: Tensor, task: _Task) -> Tensor:
    """Return the mean of the networks' images, as the forward model wants it."""
    import torch

    whole = zero_shot.Pieces(task.blur, inputs[0].numel()).whole
    placed = whole.of(inputs)
    mean = torch.zeros(placed.shape[1:], device=placed.device)
    with torch.no_grad():
        for network in networks:
            mean += make_image(network, placed)
    return whole.as_object(mean).clamp_(min=0).mul_(task.level / len(networks))


class _Judge:
    """Mixes the network's images with the classic one, as far as unseen photons want it.

    The classic image is the minimum of a convex objective: by that, no network could do better.
    Photons that neither has seen can tell. What a trained network made before it was fitted is a
    candidate of its own: the fewer the photons, the less is there to fit.

    Parameters
    ----------
    study
        What the photons are of: the whole image, or a part that speaks for it.
    seen
        Estimates without those photons; None lets the network have its way.
    classic
        Classic estimate of the whole image.
    """

    def __init__(self, study: _Task, seen: _Part | None, classic: Tensor) -> None:
        self._study, self._seen, self._classic = study, seen, classic
        self._start: tuple[Tensor, Tensor] | None = None
        self.share = 0.0

    def remember(self, networks: list[nn.Module], image: Tensor) -> None:
        """Take note of what the networks make before they are fitted."""
        if self._seen is not None:
            self._start = image, self._model(_mean_image(networks, self._seen.inputs, self._study))

    def __call__(self, networks: list[nn.Module], image: Tensor) -> Tensor:
        """Return the mixture for the whole image."""
        study, seen = self._study, self._seen
        if seen is None:
            self.share = 1.0
            return image
        images = [image]
        models = [self._model(_mean_image(networks, seen.inputs, study))]
        if self._start is not None:
            images.append(self._start[0])
            models.append(self._start[1])
        theirs = self._model(seen.classic * study.level)

        def misfit(parts: tuple[int, ...]) -> float:
            model = theirs + study.floor
            for part, ours in zip(parts, models, strict=True):
                if part:
                    model = model + (ours - theirs) * (part / _QUARTERS)
            found = float(zero_shot.photon_misfit(model, seen.target, study.darkest))
            return found if math.isfinite(found) else math.inf

        every = product(range(_QUARTERS + 1), repeat=len(images))
        best = min((parts for parts in every if sum(parts) <= _QUARTERS), key=misfit)
        self.share = sum(best) / _QUARTERS
        mixture = self._classic
        for part, each in zip(best, images, strict=True):
            if part:
                mixture = mixture + (each - self._classic) * (part / _QUARTERS)
        return mixture

    def _model(self, image: Tensor) -> Tensor:
        return self._study.blur(image)


# --- Paper ---------------------------------------------------------------------------------------


def _paper(task: _Task, features: str, weights: str, seed: int) -> Iterator[Any]:
    """Algorithm 1 of Chobola et al. 2023, with the loss of their equation 7."""
    import torch

    from napari_deconv.networks.generator import PAPER, Generator
    from napari_deconv.networks.precision import layout

    if task.data.ndim != 2:
        raise ParameterError("The paper's preset is for planes; take the fast one for stacks.")
    if features == "estimates":
        raise ParameterError(
            "The paper's preset works on deconvolved features: choose filter-bank, or extractor "
            "with a file of its weights."
        )
    brightest = max(float((task.data - task.floor).max()), 1e-30)
    y = ((task.data - task.floor) / brightest).clamp(min=0)
    torch.manual_seed(seed)
    maps = []
    zero = torch.zeros((), dtype=y.dtype, device=y.device)
    for each in _feature_maps(task, task.data, features, weights):
        # Their code shifts and scales each feature to lie between 0 and 1.
        low, high = float(each.min()), float(each.max())
        scaled = (each - low) / max(high - low, 1e-30)
        estimate = yield from after(_FEATURE_STEPS, scaled, task.blur, zero)
        maps.append(estimate.clamp(0, 1))
    inputs = torch.stack(maps)
    network = placed_network(Generator(PAPER), y.device, 2)
    optimiser = torch.optim.NAdam(network.parameters(), lr=PAPER_RATE)
    whole = zero_shot.Pieces(task.blur, inputs[0].numel()).whole
    batch = whole.of(inputs)[None].contiguous(memory_format=layout(y.device))
    # The authors' Hessian, summed, is taken per pixel: else its weight would grow with the image.
    rough = zero_shot.hessian_l1 if task.prior == "hessian" else zero_shot.gradient_l1
    step = 0
    while True:
        halvings = sum(step >= share * task.steps for share in _HALVINGS)
        for group in optimiser.param_groups:
            group["lr"] = PAPER_RATE * 0.5**halvings
        with torch.enable_grad():
            placed = torch.sigmoid(network(batch)[0, 0])
            estimate = whole.as_object(placed)
            model = zero_shot.blurred(estimate, task.blur)
            terms = {
                "1 - SSIM": 1 - zero_shot.structural_similarity(model, y),
                "prior": task.strength * rough(placed),
                "sparsity": task.sparsity * placed.abs().mean(),
            }
            loss = torch.stack(list(terms.values())).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        step += 1
        figures = {name: float(value.detach()) for name, value in terms.items()}
        yield estimate.detach() * brightest, None, figures
