"""Commands that train the networks in :mod:`napari_deconv.networks`."""
