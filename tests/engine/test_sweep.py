"""Settings side by side: on the region as in the whole, judged alike, each for itself."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_deconv.engine import Job, Setting, Sweep
from napari_deconv.engine.settings import each_method, grid, main_strength, multiplied
from napari_deconv.engine.sweep import best_of
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.registry import methods
from problems import gaussian_psf, photographed, relative_rmse, spots

PSF = gaussian_psf((11, 11), 1.6)
PLANE = photographed(spots((96, 100), count=60), PSF)
REGION = (slice(20, 68), slice(30, 84))


def test_the_region_is_restored_as_in_the_whole():
    """Nearly, since little of what lies around it is seen."""
    for method, options in (
        ("richardson-lucy", {"iterations": 15}),
        ("wiener", {"noise_to_signal": 1e-3}),
    ):
        (result,) = Sweep(PLANE, PSF, [Setting(method, options)], region=REGION, judge=False)
        job = Job(PLANE, method, PSF, region=REGION, **options)
        for _ in job.steps():
            pass
        assert result.error == ""
        assert result.thumbnail.shape == (48, 54)
        middle = (slice(6, -6),) * 2
        assert relative_rmse(result.thumbnail[middle], job.result[middle]) < 0.03
        assert result.score is None


def test_factors_are_of_what_automatic_finds():
    settings = [
        Setting("wiener", times={"noise_to_signal": 0.1}),
        Setting("wiener", {"noise_to_signal": "auto"}),
        Setting("wiener", times={"noise_to_signal": 10}),
    ]
    results = {r.index: r for r in Sweep(PLANE, PSF, settings, region=REGION)}
    found = results[1].parameters["noise_to_signal"]
    assert results[0].options["noise_to_signal"] == pytest.approx(0.1 * found, rel=0.01)
    assert results[2].options["noise_to_signal"] == pytest.approx(10 * found, rel=0.01)
    # A larger ratio is smoother.
    rough = [np.abs(np.diff(results[i].thumbnail, axis=1)).sum() for i in range(3)]
    assert rough[0] > rough[1] > rough[2]


def test_nothing_but_the_factor_differs():
    """Twice the automatic iterations are of the same kind as those, accelerated as well."""
    settings = [Setting("richardson-lucy", times={"iterations": f}) for f in (1.0, 2.0)]
    once, twice = Sweep(PLANE, PSF, settings, region=REGION, judge=False)
    assert twice.options["iterations"] == 2 * once.options["iterations"]
    assert once.options["acceleration"] == twice.options["acceleration"] == "nesterov"
    (automatic,) = Sweep(PLANE, PSF, [Setting("richardson-lucy")], region=REGION, judge=False)
    np.testing.assert_allclose(once.thumbnail, automatic.thumbnail, rtol=1e-5)


def test_factors_end_at_the_bounds():
    setting = Setting("richardson-lucy", times={"iterations": 1e-3})
    assert multiplied(setting, {"iterations": 20, "acceleration": "none"})["iterations"] == 1
    setting = Setting("wiener", times={"noise_to_signal": 1e9})
    parameters = methods()["wiener"].parameters
    found = {name: each.default for name, each in parameters.items()} | {"noise_to_signal": 1.0}
    upper = parameters["noise_to_signal"].range.upper
    assert multiplied(setting, found)["noise_to_signal"] == upper


def test_the_score_is_best_between_too_smooth_and_too_rough():
    settings = [Setting("wiener", {"noise_to_signal": 10.0**k}) for k in range(-6, 2)]
    results = list(Sweep(PLANE, PSF, settings, region=REGION))
    best = best_of(results)
    assert 0 < best.index < len(settings) - 1
    truth = spots((96, 100), count=60)[REGION]
    errors = [relative_rmse(r.thumbnail, truth) for r in results]
    assert errors[best.index] < 1.1 * min(errors)


def test_scores_are_of_the_same_photons_for_every_method():
    """So the camera's offset, subtracted before or part of the model, does not count."""
    settings = [Setting("richardson-lucy", {"iterations": 10}), Setting("wiener")]
    plain = [r.score for r in Sweep(PLANE, PSF, settings, region=REGION)]
    lifted = [r.score for r in Sweep(PLANE + 100, PSF, settings, region=REGION, offset=100.0)]
    np.testing.assert_allclose(lifted, plain, atol=2e-3)
    assert all(np.isfinite(plain))
    repeated = [r.score for r in Sweep(PLANE, PSF, settings, region=REGION)]
    assert repeated == plain


def test_one_that_fails_does_not_stop_the_others(monkeypatch):
    def broken(self, *args, **kwargs):
        raise ZeroDivisionError("surprise")

    settings = [Setting("richardson-lucy", {"iterations": 3}), Setting("wiener")]
    sweep = Sweep(PLANE, PSF, settings, region=REGION, judge=False)
    monkeypatch.setattr("napari_deconv.methods.wiener.regularised_inverse", broken)
    good, bad = sweep
    assert good.error == ""
    assert bad.error == "ZeroDivisionError: surprise"
    assert bad.thumbnail is None


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ([], InputError, "no setting"),
        ([Setting("none-such")], ParameterError, "no method"),
        ([Setting("wiener", {"iterations": 3})], ParameterError, "iterations"),
        ([Setting("wiener", {"noise_to_signal": -1})], ParameterError, "between"),
        ([Setting("wiener", times={"borders": 2})], ParameterError, "no number"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(settings, error, words):
    with pytest.raises(error, match=words):
        Sweep(PLANE, PSF, settings)


def test_a_region_without_voxels_is_refused():
    with pytest.raises(InputError, match="no voxel"):
        Sweep(PLANE, PSF, [Setting("wiener")], region=(slice(5, 5), slice(None)))


def test_common_iterations_go_to_those_that_take_steps():
    settings = [Setting("richardson-lucy"), Setting("wiener")]
    results = list(Sweep(PLANE, PSF, settings, region=REGION, judge=False, iterations=4))
    assert [r.error for r in results] == ["", ""]
    assert results[0].parameters["iterations"] == 4


def test_cancel_within_a_setting_gives_the_device_back():
    steps = Sweep(
        PLANE, PSF, [Setting("richardson-lucy", {"iterations": 10_000})] * 2, judge=False
    ).steps()
    step = next(step for step in steps if step.step is not None and step.step.iteration)
    assert step.result is None
    assert step.step.iteration < 10_000
    steps.close()
    done = []
    job = Job(PLANE, "richardson-lucy", PSF, iterations=1)
    thread = threading.Thread(target=lambda: done.extend(job.steps()))
    thread.start()
    thread.join(10)
    assert done[-1].fraction == 1


def test_a_series_shows_its_middle_frame_with_its_own_psf():
    wide = gaussian_psf((11, 11), 3.0)
    series = np.stack([np.stack([PLANE, PLANE[::-1]])] * 3)
    region = (slice(1, 2), slice(1, 2), *REGION)
    setting = [Setting("richardson-lucy", {"iterations": 5})]
    (result,) = Sweep(series, [PSF, wide], setting, region=region, judge=False)
    (expected,) = Sweep(PLANE[::-1], wide, setting, region=REGION, judge=False)
    np.testing.assert_allclose(result.thumbnail, expected.thumbnail, rtol=1e-5)
    # A preview of one channel takes that channel's PSF, too.
    job = Job(series, "richardson-lucy", [PSF, wide], region=region, iterations=5)
    alone = Job(PLANE[::-1], "richardson-lucy", wide, region=REGION, iterations=5)
    for each in (job, alone):
        for _ in each.steps():
            pass
    np.testing.assert_allclose(job.result[0, 0], alone.result, rtol=1e-4, atol=1e-3)


def test_the_plane_shown_of_a_stack():
    psf = gaussian_psf((5, 7, 7), 1.2)
    stack = photographed(spots((12, 40, 40)), psf)
    setting = [Setting("richardson-lucy", {"iterations": 3})]
    job = Job(stack, "richardson-lucy", psf, iterations=3)
    for _ in job.steps():
        pass
    for plane, shown in ((None, 6), (2, 2), (99, 11)):
        (result,) = Sweep(stack, psf, setting, plane=plane, judge=False)
        np.testing.assert_allclose(result.thumbnail, job.result[shown], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("method", methods())
def test_grid_is_around_the_automatic_setting(method):
    entry, rows = methods()[method], grid(method, {"borders": "reflect"})
    strength = main_strength(entry)
    stopped = entry.iterative and not entry.converges
    assert len(rows) == (3 if strength is not None and stopped else 1)
    settings = [setting for row in rows for setting in row]
    automatic = [setting for setting in settings if not setting.times]
    assert len(automatic) == 1
    assert rows[len(rows) // 2][len(rows[0]) // 2] is automatic[0]
    assert all(setting.options["borders"] == "reflect" for setting in settings)
    if strength is not None and strength.allows_auto:
        assert automatic[0].options[strength.name] == "auto"
    # All of it is understood.
    Sweep(PLANE, PSF, settings)


def test_every_method_once():
    settings = each_method(methods(), {"richardson-lucy": {"iterations": 7}})
    assert [setting.method for setting in settings] == list(methods())
    assert settings[list(methods()).index("richardson-lucy")].options == {"iterations": 7}


def test_python_of_the_documentation_works(capsys):
    text = (Path(__file__).parents[2] / "docs/howto/compare-settings.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    exec(compile(block, "compare-settings.md", "exec"), {})
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["wiener", "richardson-lucy", "richardson-lucy"]
