"""Docks and samples for napari: the only room that knows Qt."""
