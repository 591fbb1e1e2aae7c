"""Eigenvalues of fields of matrices against numpy's."""

import numpy as np
import pytest
import torch

from napari_deconv.operators.eigenvalues import clip_eigenvalues, eigenvalues
from napari_deconv.operators.loops_eigenvalues import clip

SQRT = 2**0.5


def matrices(size, seed=0):
    """Random symmetric matrices, and those with equal eigenvalues, of rank one, and zero."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal((300, size, size))
    found += found.transpose(0, 2, 1)
    vectors = rng.standard_normal((50, size))
    found[:50] = np.eye(size) * rng.standard_normal((50, 1, 1))
    found[50:100] = 0.7 * np.eye(size) + vectors[:, :, None] * vectors[:, None, :]
    found[100:150] = vectors[:, :, None] * vectors[:, None, :]
    found[150] = 0
    return found


def field_of(found):
    rows, columns = np.triu_indices(found.shape[1])
    factors = np.where(rows == columns, 1, SQRT)
    return torch.from_numpy(found[:, rows, columns].T * factors[:, None])


def clipped(found, most):
    values, vectors = np.linalg.eigh(found)
    return (vectors * values.clip(-most, most)[:, None, :]) @ vectors.transpose(0, 2, 1)


@pytest.mark.parametrize("size", [2, 3])
def test_they_are_the_eigenvalues(size):
    found = matrices(size)
    expected = np.linalg.eigvalsh(found)[:, ::-1].T
    np.testing.assert_allclose(eigenvalues(field_of(found)), expected, atol=1e-7)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("most", [0.0, 1e-3, 0.8, 100.0])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_cutting_them_is_the_projection_onto_the_spectral_ball(size, most, dtype, close):
    found = matrices(size)
    field = field_of(found).to(dtype)
    expected = field_of(clipped(found, most)).to(dtype)
    torch.testing.assert_close(clip_eigenvalues(field, most), expected, rtol=0, atol=20 * close)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("most", [0.0, 1e-3, 0.8, 100.0])
def test_the_compiled_loop_cuts_the_same(size, most):
    found = matrices(size)
    rows = field_of(found).float().numpy()
    clip(rows, most)
    expected = field_of(clipped(found, most)).float()
    torch.testing.assert_close(torch.from_numpy(rows), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("size", [2, 3])
def test_what_is_cut_off_is_the_proximal_operator_of_the_nuclear_norm(size):
    """Moreau: A - P(A) has the eigenvalues of A, nearer to zero by the threshold."""
    found = matrices(size, seed=1)
    rest = field_of(found) - clip_eigenvalues(field_of(found), 0.6)
    values = np.linalg.eigvalsh(found)[:, ::-1].T
    soft = np.sign(values) * (abs(values) - 0.6).clip(min=0)
    np.testing.assert_allclose(eigenvalues(rest), soft, atol=2e-7)


@pytest.mark.parametrize("size", [2, 3])
def test_turning_the_matrices_turns_the_result(size):
    found = matrices(size, seed=2)
    turn, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((size, size)))
    turned = clip_eigenvalues(field_of(turn @ found @ turn.T), 0.5)
    plain = clipped(found, 0.5)
    torch.testing.assert_close(turned, field_of(turn @ plain @ turn.T), rtol=0, atol=1e-12)
