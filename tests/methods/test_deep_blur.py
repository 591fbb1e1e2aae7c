"""deep-blur as a method: with a PSF, without, and in any size, unit and number of axes."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve

import napari_deconv as nd
from napari_deconv.cli import main
from napari_deconv.engine.blocks import Settled
from napari_deconv.errors import FileError, InputError, ParameterError
from napari_deconv.identification.optics import pupils
from napari_deconv.io import write_image
from napari_deconv.methods.deep_blur import noise_map
from napari_deconv.networks.douglas_rachford import DouglasRachford, Unrolled
from napari_deconv.networks.drunet import Plan
from napari_deconv.networks.weights import PRETRAINED, load_weights, save_weights
from napari_deconv.simulation.phantoms import filaments

SHIPPED = "deep-blur-small"
# Exact, whatever the processor; and the noise told, so that it does not vary with the image.
EXACT = {"precision": "float32"}


def psf_of(seed=1, amplitude=0.15):
    coefficients = np.random.default_rng(seed).uniform(-amplitude, amplitude, (1, 8))
    return pupils(0.2, (31, 31)).psf(torch.from_numpy(coefficients))[0].numpy()


def problem(side=128, sigma=0.01, seed=0, offset=100.0, light=1000.0):
    """Filaments in counts, their image with true borders, and the PSF."""
    thing = filaments((side + 30, side + 30), count=40, width=2.0, seed=seed)
    thing = offset + light * thing / thing.max()
    psf = psf_of(seed)
    noise = sigma * light * np.random.default_rng(seed).standard_normal((side, side))
    image = fftconvolve(thing, psf, "valid") + noise
    return image.astype(np.float32), psf, thing[15:-15, 15:-15]


def restore(image, psf=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nd.restore(image, "deep-blur", psf, **{**EXACT, **options})


def ssim(result, truth):
    return nd.assess(result, reference=truth).ssim


class TestWithAPsf:
    @pytest.mark.parametrize("sigma", [0.0, 0.03])
    def test_it_restores_better_than_richardson_lucy(self, sigma):
        image, psf, truth = problem(sigma=sigma)
        restored = ssim(restore(image, psf), truth)
        assert restored > ssim(image, truth) + 0.1
        assert restored > ssim(nd.restore(image, "richardson-lucy", psf), truth) + 0.02

    def test_bfloat16_is_as_good(self):
        image, psf, truth = problem()
        exact, quick = (restore(image, psf, precision=p) for p in ("float32", "bfloat16"))
        assert ssim(quick, truth) > ssim(exact, truth) - 0.003
        assert np.abs(quick - exact).max() < 0.05 * np.ptp(truth)

    def test_it_repeats_itself(self):
        image, psf, _ = problem(64)
        np.testing.assert_array_equal(restore(image, psf), restore(image, psf))

    def test_light_is_kept(self):
        image, psf, _ = problem(96, offset=0.0)
        for positive in (True, False):
            restored = restore(image, psf, positive=positive, borders="circular")
            assert restored.sum() == pytest.approx(image.sum(), rel=1e-4)
            assert (restored.min() >= 0) == positive

    def test_unit_and_offset_do_not_matter(self):
        image, psf, _ = problem(64)
        one = restore(image, psf, positive=False)
        other = restore(7 * image - 300, psf, positive=False)
        np.testing.assert_allclose((other + 300) / 7, one, atol=2e-3 * np.ptp(one))

    @pytest.mark.parametrize("shape", [(48, 48), (31, 57), (9, 40)])
    @pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
    def test_any_size_and_border(self, shape, borders):
        image = problem(64)[0][: shape[0], : shape[1]]
        restored = restore(image, psf_of(), borders=borders)
        assert restored.shape == shape
        assert np.isfinite(restored).all()
        # A plane no larger than its PSF, which does not repeat itself, is no circular image.
        if borders != "circular" or min(shape) > len(psf_of()):
            assert np.corrcoef(restored.ravel(), image.ravel())[0, 1] > 0.1

    def test_tiles_show_no_seams(self):
        image, psf, truth = problem(256)
        whole, tiled = restore(image, psf, tiles=None), restore(image, psf, tiles=(128, 128))
        # At the image's own border, what is not seen is guessed; not so where tiles meet.
        difference = np.abs(tiled - whole)[16:-16, 16:-16]
        assert difference.max() < 0.01 * np.ptp(truth)
        assert np.sqrt((difference**2).mean()) < 0.001 * np.ptp(truth)

    def test_fewer_steps_are_taken_where_asked_for(self):
        image, psf, _ = problem(48)
        _, details = restore(image, psf, details=True)
        plan = Unrolled.of(load_weights(SHIPPED, "deep-blur").settings)
        assert details.iterations == plan.steps
        assert restore(image, psf, iterations=2, details=True)[1].iterations == 2
        with pytest.raises(ParameterError, match="take 4 steps"):
            restore(image, psf, iterations=5)

    def test_doubt_and_strength_make_it_smoother(self):
        image, psf, _ = problem(96, sigma=0.0)

        def rough(**options):
            return np.abs(np.diff(restore(image, psf, **options))).mean()

        assert rough(psf_error=0.5) < 0.98 * rough(psf_error=0.0)
        noisy, _, _ = problem(96, sigma=0.05)
        image = noisy
        assert rough(strength=3.0) < rough(strength=1.0) < rough(strength=0.3)

    def test_stacks_are_restored_with_a_psf_of_three_axes(self):
        thing = filaments((24, 64, 64), count=20, width=2.0, seed=3) * 1000 + 50
        axial = np.exp(-0.5 * (np.arange(-3, 4) / 1.5) ** 2)
        psf = axial[:, None, None] * psf_of()[None, 8:-8, 8:-8]
        random = np.random.default_rng(0)
        blurred = fftconvolve(np.pad(thing, 10, mode="reflect"), psf / psf.sum(), "same")
        image = blurred[10:-10, 10:-10, 10:-10] + random.normal(0, 5, thing.shape)
        restored = restore(image.astype(np.float32), psf)
        assert restored.shape == thing.shape
        assert ssim(restored, thing) > ssim(image, thing) + 0.05

    def test_a_blur_that_varies_is_undone_as_such(self):
        shape = (126, 126)
        places = np.array([(y, x) for y in (0.0, 63.0, 125.0) for x in (0.0, 63.0, 125.0)])
        shift = np.random.default_rng(4).uniform(-0.15, 0.15, (8, 2))
        coefficients = (places / 125 * 2 - 1) @ shift.T
        psfs = pupils(0.2, (31, 31)).psf(torch.from_numpy(coefficients)).numpy()
        model = nd.VariantPsf.from_psfs(psfs, places, shape, terms=5, align=False)
        thing = filaments(shape, count=60, width=2.0, seed=5) * 1000
        maps = model.weights([np.arange(n, dtype=float) for n in shape])
        pairs = zip(maps, model.components, strict=True)
        image = sum(fftconvolve(m * thing, e, "valid") for m, e in pairs)
        image = (image + np.random.default_rng(0).normal(0, 2, image.shape)).astype(np.float32)
        truth, part = thing[15:-15, 15:-15], model.part((15, 15), image.shape)
        varying = ssim(restore(image, part), truth)
        assert varying > ssim(restore(image, part.mean), truth) + 0.02
        assert varying > ssim(image, truth) + 0.1

    def test_noise_is_what_the_camera_makes(self):
        flat = torch.full((1, 1, 9, 9), 500.0)
        found = noise_map(flat, 2.0, 3.0, 100.0)
        torch.testing.assert_close(found, torch.full_like(flat, (2 * 400 + 9) ** 0.5))
        assert float(noise_map(torch.zeros_like(flat), 2.0, 3.0, 100.0).max()) == 3


class TestWithoutAPsf:
    def test_it_is_found_and_then_as_if_given(self):
        image, psf, truth = problem(160, sigma=0.0)
        job = nd.Job(image, "deep-blur", **EXACT)
        stages = [step.stage for step in job.steps()]
        details, restored = job.details, job.result
        assert stages[0] == "Identifying the blur"
        assert details.psf.shape == (31, 31)
        assert details.psf_origin == (15, 15)
        assert ssim(restored, truth) > ssim(image, truth) + 0.1
        # Better than nothing known.
        assert ((details.psf - psf) ** 2).sum() < 0.3 * (psf**2).sum()
        again = restore(
            image, details.psf, psf_error=details.parameters["psf_error"], psf_energy=1.0
        )
        np.testing.assert_array_equal(again, restored)
        told = json.loads(json.dumps(details.provenance))["found"]
        assert set(told["coefficients"]) == {str(j) for j in range(4, 12)}
        assert told["verdict"] in details.notes
        assert 0 <= told["confidence"] <= 1

    def test_another_run_takes_it_over(self):
        image, _, _ = problem(96)
        job, other = (nd.Job(image, "deep-blur", **EXACT) for _ in range(2))
        list(job.steps())
        settled = Settled.from_json(job.work.settled.to_json())
        other.adopt(settled)
        np.testing.assert_array_equal(other.work.restore(0), job.result)

    def test_all_planes_have_one(self):
        image, _, _ = problem(96)
        planes = np.stack([image, image[::-1], image])
        restored, details = restore(planes, details=True, spacing=(0.3, 0.1, 0.1))
        assert details.psf.ndim == 2
        assert details.blocks == 3
        np.testing.assert_array_equal(restored[0], restored[2])

    def test_who_cannot_tell_says_so(self):
        noise = np.random.default_rng(0).normal(1000, 30, (64, 64)).astype(np.float32)
        with pytest.warns(UserWarning, match="Too small or too noisy to tell"):
            nd.restore(noise, "deep-blur")

    def test_too_small_an_image_is_refused(self):
        image, _, _ = problem(48)
        with pytest.raises(InputError, match="No PSF was given"):
            restore(image[:12, :12])


class TestWeights:
    def test_they_are_what_their_card_says(self):
        loaded = load_weights(SHIPPED, "deep-blur")
        assert loaded.card["sha256"] == loaded.sha256
        assert {"title", "training", "scores", "licence", "limits", "command"} <= loaded.card.keys()
        assert (PRETRAINED / f"{SHIPPED}.safetensors").stat().st_size < 4_000_000

    def test_wrong_ones_are_refused(self, tmp_path):
        image, psf, _ = problem(48)
        plan = Unrolled(Plan(channels=(4,), blocks=1, maps=2), steps=1)
        path = tmp_path / "a.safetensors"
        tensors = DouglasRachford(plan).state_dict()
        save_weights(path, dict(list(tensors.items())[1:]), "deep-blur", plan.settings())
        with pytest.raises(FileError, match="train them anew"):
            restore(image, psf, weights=str(path))
        stacks = Unrolled(Plan(ndim=3, channels=(4,), blocks=1, maps=2), steps=1)
        tensors = DouglasRachford(stacks).state_dict()
        save_weights(path, tensors, "deep-blur", stacks.settings())
        with pytest.raises(ParameterError, match="for stacks"):
            restore(image, psf, weights=str(path))


def test_gradients_stay_as_they_were():
    """A method that is looked at between two steps leaves torch's modes alone."""
    image, psf, _ = problem(48)
    job = nd.Job(image, "deep-blur", psf, precision="bfloat16")
    for _ in job.steps():
        assert torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")


def test_from_the_shell_without_a_psf(tmp_path, capsys):
    image, _, _ = problem(96)
    write_image(tmp_path / "in.tif", image, axes="YX")
    words = f"restore deep-blur {tmp_path}/in.tif -o {tmp_path}/out.tif --spacing 0.1 0.1"
    words += " --numerical-aperture 1.1 --emission-wavelength 0.55"
    assert main(words.split()) == 0
    told = capsys.readouterr().err
    assert "the PSF is" in told
    assert "was assumed" not in told
    assert (tmp_path / "out.tif").exists()
