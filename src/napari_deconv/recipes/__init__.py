"""Recipes: how to restore a kind of image, written down once for any number of them."""

from napari_deconv.recipes.psf import PsfSource
from napari_deconv.recipes.recipe import Recipe, Treatment

__all__ = ["PsfSource", "Recipe", "Treatment"]
