"""Files in and out: what was written is what is read, and nothing is ever half there."""

import errno
import json
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.errors import FileError
from napari_deconv.io import Channel, check_target, read_image, write_image
from napari_deconv.io import target as target_module
from napari_deconv.io import tiff as tiff_module

zarr = pytest.importorskip("zarr")

FORMATS = ("out.tif", "out.ome.tif", "out.ome.zarr")


@pytest.fixture
def stack():
    return np.random.default_rng(0).normal(100, 10, (5, 12, 14)).astype(np.float32)


def image_of(axes: str) -> np.ndarray:
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 10, "X": 12}
    shape = [sizes[axis] for axis in axes]
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


class TestRoundTrip:
    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "CYX", "TCYX", "CZYX", "TZYX", "TCZYX"])
    def test_pixels_axes_and_voxel_size(self, tmp_path, name, axes):
        data = image_of(axes)
        spacing = (0.3, 0.1083, 0.1083)[-3 if "Z" in axes else -2 :]
        write_image(tmp_path / name, data, axes=axes, spacing=spacing)
        image = read_image(tmp_path / name)
        assert image.axes == axes
        np.testing.assert_array_equal(image.data, data)
        assert image.dtype == np.float32
        assert image.spacing == pytest.approx(spacing, rel=1e-6)
        assert image.unit in ("um", "µm", "micrometer")
        assert image.notes == ()

    @pytest.mark.parametrize("name", FORMATS)
    def test_no_voxel_size_stays_none(self, tmp_path, stack, name):
        write_image(tmp_path / name, stack, axes="ZYX")
        assert read_image(tmp_path / name).spacing is None

    @pytest.mark.parametrize("name", FORMATS)
    def test_channels_interval_and_provenance(self, tmp_path, name):
        data = image_of("TCZYX")
        channels = [
            Channel("DAPI", 0.45, "#0000ff"),
            Channel("GFP & <co>", 0.52, "#00ff00"),
            Channel("Cy5", 0.67, "#ff0000"),
        ]
        record = {"method": "richardson-lucy", "note": 'µm "quoted" {braces} <tag>', "n": [1, 2.5]}
        write_image(
            tmp_path / name,
            data,
            axes="TCZYX",
            spacing=(0.2, 0.1, 0.1),
            channels=channels,
            time_interval=2.5,
            provenance=record,
        )
        image = read_image(tmp_path / name)
        assert image.channel_names == ("DAPI", "GFP & <co>", "Cy5")
        assert [channel.colour for channel in image.channels] == ["#0000ff", "#00ff00", "#ff0000"]
        assert image.time_interval == pytest.approx(2.5)
        assert image.provenance == record
        if name != "out.tif":  # ImageJ has no place for wavelengths
            wavelengths = [channel.emission_wavelength for channel in image.channels]
            assert wavelengths == pytest.approx([0.45, 0.52, 0.67])

    def test_ome_zarr_04(self, tmp_path):
        data = image_of("CZYX")
        path = write_image(
            tmp_path / "o.zarr",
            data,
            axes="CZYX",
            spacing=(1, 0.5, 0.25),
            provenance={"a": 1},
            ome_zarr_version="0.4",
        )
        attributes = json.loads((path / ".zattrs").read_text())
        assert attributes["multiscales"][0]["version"] == "0.4"
        assert json.loads((path / "0" / ".zarray").read_text())["dimension_separator"] == "/"
        image = read_image(path)
        np.testing.assert_array_equal(image.data, data)
        assert image.spacing == (1, 0.5, 0.25)
        assert image.provenance == {"a": 1}

    def test_pyramid_keeps_mean_size_and_place(self, tmp_path):
        y, x = np.mgrid[:1100, :600].astype(np.float32)
        write_image(tmp_path / "p.zarr", 3 * y + 2 * x, axes="YX", spacing=(0.2, 0.5))
        group = zarr.open(tmp_path / "p.zarr", mode="r")
        levels = group.attrs["ome"]["multiscales"][0]["datasets"]
        assert len(levels) == 3
        for level in levels:
            scale = level["coordinateTransformations"][0]["scale"]
            shift = [0.0, 0.0]
            if len(level["coordinateTransformations"]) > 1:
                shift = level["coordinateTransformations"][1]["translation"]
            pixels = group[level["path"]][:]
            rows, columns = np.indices(pixels.shape)
            # A ramp stays the same ramp in physical coordinates, on each level.
            at = (rows * scale[0] + shift[0]) / 0.2, (columns * scale[1] + shift[1]) / 0.5
            np.testing.assert_allclose(pixels, 3 * at[0] + 2 * at[1], rtol=1e-5)

    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize(
        ("dtype", "written"),
        [("u1", "u1"), (">u2", "u2"), ("f8", "f4"), ("?", "f4"), ("i4", "f4"), ("f2", "f4")],
    )
    def test_dtypes(self, tmp_path, name, dtype, written):
        data = (np.arange(700 * 6) % 2 * 255).reshape(6, 700).astype(dtype)
        write_image(tmp_path / name, data, axes="YX")
        image = read_image(tmp_path / name)
        assert image.dtype == np.dtype(written)
        np.testing.assert_array_equal(image.data, data.astype(written))

    def test_ome_zarr_is_lazy(self, tmp_path, stack):
        write_image(tmp_path / "l.zarr", stack, axes="ZYX")
        data = read_image(tmp_path / "l.zarr").data
        assert not isinstance(data, np.ndarray)
        assert (data.shape, data.dtype, data.ndim) == (stack.shape, stack.dtype, 3)
        np.testing.assert_array_equal(data[1:3, 2, ::2], stack[1:3, 2, ::2])
        np.testing.assert_array_equal(np.asarray(data, dtype=float), stack)

    def test_beyond_4_gb_becomes_bigtiff_with_everything(self, tmp_path, stack, monkeypatch):
        monkeypatch.setattr(tiff_module, "_CLASSIC_LIMIT", stack.nbytes - 1)
        path = tmp_path / "big.tif"
        write_image(path, stack, axes="ZYX", spacing=(0.2, 0.1, 0.1), provenance={"a": 1})
        with tifffile.TiffFile(path) as tiff:
            assert tiff.is_bigtiff
        image = read_image(path)
        np.testing.assert_array_equal(image.data, stack)
        assert image.spacing == pytest.approx((0.2, 0.1, 0.1))
        assert image.provenance == {"a": 1}

    @settings(max_examples=20, deadline=None)
    @given(st.floats(1e-3, 50), st.floats(1e-3, 50), st.sampled_from(FORMATS))
    def test_any_voxel_size(self, tmp_path_factory, z, x, name):
        path = tmp_path_factory.mktemp("size") / name
        write_image(path, np.ones((2, 4, 4)), axes="ZYX", spacing=(z, x, x))
        assert read_image(path).spacing == pytest.approx((z, x, x), rel=2e-6)


class TestReading:
    @pytest.mark.parametrize(
        ("unit", "factor"),
        [("micron", 1), ("\\u00B5m", 1), ("um", 1), ("nm", 1e-3), ("mm", 1e3), ("inch", 25400)],
    )
    def test_imagej_units(self, tmp_path, stack, unit, factor):
        tifffile.imwrite(
            tmp_path / "u.tif",
            stack,
            imagej=True,
            resolution=(4, 5),
            metadata={"axes": "ZYX", "unit": unit, "spacing": 0.5},
        )
        expected = (0.5 * factor, 0.2 * factor, 0.25 * factor)
        assert read_image(tmp_path / "u.tif").spacing == pytest.approx(expected)

    def test_imagej_pixels_are_no_length(self, tmp_path, stack):
        metadata = {"axes": "ZYX", "unit": "pixel", "spacing": 0.5}
        tifffile.imwrite(tmp_path / "p.tif", stack, imagej=True, metadata=metadata)
        assert read_image(tmp_path / "p.tif").spacing is None

    def test_imagej_hyperstack_comes_in_our_order(self, tmp_path):
        data = image_of("TCZYX")
        tifffile.imwrite(
            tmp_path / "h.tif",
            data.transpose(0, 2, 1, 3, 4),
            imagej=True,
            metadata={"axes": "TZCYX"},
        )
        image = read_image(tmp_path / "h.tif")
        assert image.axes == "TCZYX"
        np.testing.assert_array_equal(image.data, data)

    def test_ome_tiff_units_optics_and_wavelength(self, tmp_path, stack):
        path = tmp_path / "o.ome.tif"
        metadata = {
            "axes": "ZYX",
            "PhysicalSizeX": 100,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.0001,
            "PhysicalSizeYUnit": "mm",
            "PhysicalSizeZ": 0.3,
            "Channel": {"Name": ["GFP"], "EmissionWavelength": [525]},
        }
        tifffile.imwrite(path, stack, ome=True, metadata=metadata)
        text = tifffile.tiffcomment(path)
        instrument = (
            '<Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="1.4" '
            'Immersion="Oil"/></Instrument>'
        )
        tifffile.tiffcomment(path, text.replace("<Image ", instrument + "<Image ", 1).encode())
        image = read_image(path)
        assert image.spacing == pytest.approx((0.3, 0.1, 0.1))
        assert image.unit == "nm"
        assert image.optics == {"numerical_aperture": 1.4, "immersion_index": 1.515}
        assert image.channels[0].emission_wavelength == pytest.approx(0.525)

    def test_ome_tiff_without_z_size_says_so(self, tmp_path, stack):
        metadata = {"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
        tifffile.imwrite(tmp_path / "o.ome.tif", stack, metadata=metadata)
        image = read_image(tmp_path / "o.ome.tif")
        assert image.spacing is None
        assert "no voxel size along z" in image.notes[0]

    @pytest.mark.parametrize(
        ("per_unit", "unit", "expected"),
        [(1e5, "CENTIMETER", 0.1), (254000, "INCH", 0.1), (72, "INCH", None), (1, "NONE", None)],
    )
    def test_resolution_tags_but_not_print_sizes(self, tmp_path, per_unit, unit, expected):
        tifffile.imwrite(
            tmp_path / "r.tif",
            np.ones((8, 8), np.uint16),
            resolution=(per_unit, per_unit),
            resolutionunit=unit,
            metadata=None,
        )
        spacing = read_image(tmp_path / "r.tif").spacing
        assert spacing == (None if expected is None else pytest.approx((expected, expected)))

    def test_plain_pages_are_planes(self, tmp_path, stack):
        with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
            for plane in stack.astype(">u2"):
                writer.write(plane, contiguous=False, metadata=None)
        image = read_image(tmp_path / "pages.tif")
        assert image.axes == "ZYX"
        np.testing.assert_array_equal(image.data, stack.astype("u2"))
        assert read_image(tmp_path / "pages.tif", axes="tyx").axes == "TYX"

    def test_axes_that_nobody_named(self, tmp_path):
        tifffile.imwrite(tmp_path / "q.tif", np.zeros((2, 5, 8, 8), np.uint8))
        image = read_image(tmp_path / "q.tif")
        assert image.axes == "TZYX"
        assert "TZYX" in image.notes[0]

    def test_axes_from_the_user(self, tmp_path, stack):
        write_image(tmp_path / "a.tif", stack, axes="ZYX", spacing=(0.3, 0.1, 0.1))
        image = read_image(tmp_path / "a.tif", axes="TYX")
        assert (image.axes, image.spacing) == ("TYX", pytest.approx((0.1, 0.1)))
        image = read_image(tmp_path / "a.tif", axes="YXZ")
        assert image.data.shape == (14, 5, 12)
        with pytest.raises(FileError, match="names 2"):
            read_image(tmp_path / "a.tif", axes="YX")
        with pytest.raises(FileError, match="each once"):
            read_image(tmp_path / "a.tif", axes="YYX")

    def test_one_plane_is_two_dimensional(self, tmp_path):
        group = zarr.open_group(tmp_path / "one.zarr", mode="w", zarr_format=2)
        group.create_array("0", data=np.ones((1, 1, 1, 6, 7)))
        axes = [{"name": name} for name in "tcz"] + [
            {"name": name, "type": "space", "unit": "nanometer"} for name in "yx"
        ]
        scale = {"type": "scale", "scale": [1, 1, 1, 200, 100]}
        group.attrs["multiscales"] = [
            {
                "version": "0.4",
                "axes": axes,
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
            }
        ]
        image = read_image(tmp_path / "one.zarr")
        assert (image.axes, image.data.shape) == ("TCYX", (1, 1, 6, 7))
        assert image.spacing == pytest.approx((0.2, 0.1))

    def test_plain_zarr_array(self, tmp_path, stack):
        zarr.save_array(tmp_path / "plain.zarr", stack)
        image = read_image(tmp_path / "plain.zarr")
        assert (image.axes, image.spacing) == ("ZYX", None)
        zarr.save_array(tmp_path / "four.zarr", stack[None])
        with pytest.raises(FileError, match="--axes"):
            read_image(tmp_path / "four.zarr")
        assert read_image(tmp_path / "four.zarr", axes="CZYX").axes == "CZYX"

    def test_bioformats2raw_layout(self, tmp_path, stack):
        group = zarr.open_group(tmp_path / "b.zarr", mode="w")
        group.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
        write_image(tmp_path / "inner.zarr", stack, axes="ZYX", spacing=(1, 2, 3))
        os.rename(tmp_path / "inner.zarr", tmp_path / "b.zarr" / "0")
        image = read_image(tmp_path / "b.zarr")
        assert image.spacing == (1, 2, 3)

    def test_lzw(self, tmp_path):
        data = (np.arange(4000) % 7).reshape(50, 80).astype(np.uint8)
        tifffile.imwrite(tmp_path / "lzw.tif", data, compression="lzw")
        np.testing.assert_array_equal(read_image(tmp_path / "lzw.tif").data, data)

    def test_grey_png(self, tmp_path):
        from PIL import Image

        data = np.arange(200, dtype=np.uint8).reshape(10, 20)
        Image.fromarray(data).save(tmp_path / "g.png")
        image = read_image(tmp_path / "g.png")
        assert image.axes == "YX"
        np.testing.assert_array_equal(image.data, data)

    @pytest.mark.parametrize("compression", [None, "zlib"])
    def test_large_files_are_read_piece_by_piece(self, tmp_path, stack, monkeypatch, compression):
        monkeypatch.setattr(tiff_module, "LAZY_FROM", 1)
        # ImageJ's order of axes is not ours: nothing is read to turn them.
        data = np.stack([stack, stack + 1, stack + 2], axis=1)[None]
        tifffile.imwrite(
            tmp_path / "m.tif",
            data,
            imagej=True,
            compression=compression,
            resolution=(10, 10),
            metadata={"axes": "TZCYX", "spacing": 0.2, "unit": "um"},
        )
        image = read_image(tmp_path / "m.tif")
        assert not isinstance(image.data, np.ndarray)
        again = pickle.loads(pickle.dumps(image.data))
        for lazy in (image.data, again):
            assert lazy.shape == (3, *stack.shape)
            assert lazy.dtype.itemsize == stack.dtype.itemsize
            np.testing.assert_array_equal(lazy, data[0].swapaxes(0, 1))
            np.testing.assert_array_equal(lazy[1, 2:4], data[0, 2:4, 1])
            np.testing.assert_array_equal(lazy[..., 3, 1:5], data[0, ..., 3, 1:5].swapaxes(0, 1))
        assert image.spacing == pytest.approx((0.2, 0.1, 0.1))

    @pytest.mark.parametrize("dtype", ["u1", ">u2", "<i4", "f2", ">f8", "?"])
    def test_dtypes_are_kept(self, tmp_path, stack, dtype):
        data = stack.astype(dtype)
        tifffile.imwrite(tmp_path / "d.tif", data, metadata={"axes": "ZYX"})
        image = read_image(tmp_path / "d.tif")
        np.testing.assert_array_equal(image.data, data)
        assert image.dtype.newbyteorder("=") == data.dtype.newbyteorder("=")


class TestBadFiles:
    def test_absent(self, tmp_path, stack):
        write_image(tmp_path / "cells.tif", stack, axes="ZYX")
        with pytest.raises(FileError, match=r"no file .*cell\.tif.* Did you mean .*cells\.tif"):
            read_image(tmp_path / "cell.tif")
        with pytest.raises(FileError, match="no folder"):
            read_image(tmp_path / "nowhere" / "cell.tif")

    def test_empty_and_foreign(self, tmp_path):
        (tmp_path / "e.tif").touch()
        with pytest.raises(FileError, match="is empty"):
            read_image(tmp_path / "e.tif")
        (tmp_path / "t.tif").write_text("dear diary " * 50)
        with pytest.raises(FileError, match="not a TIFF file"):
            read_image(tmp_path / "t.tif")
        (tmp_path / "x.docx").write_text("x")
        with pytest.raises(FileError, match="Save it as TIFF"):
            read_image(tmp_path / "x.docx")
        (tmp_path / "p.png").write_text("x")
        with pytest.raises(FileError, match="not a picture"):
            read_image(tmp_path / "p.png")
        (tmp_path / "folder").mkdir()
        with pytest.raises(FileError, match="is a folder"):
            read_image(tmp_path / "folder")

    @pytest.mark.parametrize("kind", ["imagej", "ome", "plain", "pages", "zlib", "big"])
    @settings(max_examples=12, deadline=None)
    @given(share=st.floats(0, 0.999))
    def test_truncated(self, tmp_path_factory, kind, share):
        """A file cut off anywhere is never taken for a smaller image."""
        folder = tmp_path_factory.mktemp("cut")
        path = folder / ("a.ome.tif" if kind == "ome" else "a.tif")
        data = np.random.default_rng(0).random((6, 20, 30)).astype(np.float32)
        if kind in ("imagej", "ome"):
            write_image(path, data, axes="ZYX")
        elif kind == "pages":
            with tifffile.TiffWriter(path) as writer:
                for plane in data:
                    writer.write(plane, contiguous=False, metadata=None)
        else:
            options = {"plain": {"metadata": None}, "zlib": {"compression": "zlib"}}
            tifffile.imwrite(path, data, **options.get(kind, {"bigtiff": True}))
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        try:
            image = read_image(path)
        except FileError as error:
            words = str(error)
            assert "damaged" in words or "empty" in words or "not a TIFF" in words
        else:  # Nothing but directories of pages already told can be missing.
            assert share > 0.85
            np.testing.assert_array_equal(image.data, data)

    def test_truncated_png(self, tmp_path):
        from PIL import Image

        noise = np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8)
        Image.fromarray(noise).save(tmp_path / "g.png")
        whole = (tmp_path / "g.png").read_bytes()
        (tmp_path / "g.png").write_bytes(whole[:1000])
        with pytest.raises(FileError, match="truncated"):
            read_image(tmp_path / "g.png")

    def test_a_truncated_block_of_a_zarr(self, tmp_path, stack):
        path = write_image(tmp_path / "b.zarr", stack, axes="ZYX")
        (block,) = (entry for entry in (path / "0" / "c").rglob("*") if entry.is_file())
        block.write_bytes(block.read_bytes()[:-100])
        image = read_image(path)
        with pytest.raises(FileError, match="damaged or was not copied to its end"):
            np.asarray(image.data)

    def test_colour(self, tmp_path):
        from PIL import Image

        rgb = np.zeros((8, 9, 3), np.uint8)
        tifffile.imwrite(tmp_path / "c.tif", rgb, photometric="rgb")
        Image.fromarray(rgb).save(tmp_path / "c.png")
        with pytest.raises(FileError, match=r"colour \(RGB\)"):
            read_image(tmp_path / "c.tif")
        with pytest.raises(FileError, match="colour"):
            read_image(tmp_path / "c.png")

    def test_complex_values(self, tmp_path):
        tifffile.imwrite(tmp_path / "c.tif", np.zeros((8, 9), np.complex64))
        with pytest.raises(FileError, match="grey levels"):
            read_image(tmp_path / "c.tif")

    def test_missing_codec_is_named(self, tmp_path, monkeypatch):
        tifffile.imwrite(tmp_path / "l.tif", np.zeros((8, 9), np.uint8), compression="lzw")

        def refuse(*_, **__):
            raise KeyError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

        monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", refuse)
        with pytest.raises(FileError, match=r"compressed with LZW.*pip install imagecodecs"):
            read_image(tmp_path / "l.tif")

    def test_zarr_folders_of_other_kinds(self, tmp_path):
        (tmp_path / "e.zarr").mkdir()
        with pytest.raises(FileError, match="not an OME-Zarr image"):
            read_image(tmp_path / "e.zarr")
        zarr.open_group(tmp_path / "g.zarr", mode="w")
        with pytest.raises(FileError, match="holds no OME-Zarr image"):
            read_image(tmp_path / "g.zarr")
        group = zarr.open_group(tmp_path / "plate.zarr", mode="w")
        group.attrs["plate"] = {}
        with pytest.raises(FileError, match="plate"):
            read_image(tmp_path / "plate.zarr")

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
    def test_no_permission(self, tmp_path, stack):
        path = write_image(tmp_path / "a.tif", stack, axes="ZYX")
        path.chmod(0)
        with pytest.raises(FileError, match="Permission denied"):
            read_image(path)

    def test_tifffile_stays_quiet(self, tmp_path, stack, caplog, capfd):
        path = write_image(tmp_path / "a.tif", stack, axes="ZYX")
        path.write_bytes(path.read_bytes()[:1500])
        with pytest.raises(FileError):
            read_image(path)
        assert capfd.readouterr().err == ""


class TestWriting:
    def test_never_over_the_input(self, tmp_path, stack):
        path = write_image(tmp_path / "in.tif", stack, axes="ZYX")
        (tmp_path / "link.tif").symlink_to(path)
        for name in ("in.tif", "link.tif"):
            with pytest.raises(FileError, match="is the input"):
                write_image(
                    tmp_path / name, stack, axes="ZYX", overwrite=True, inputs=[tmp_path / "in.tif"]
                )
        write_image(tmp_path / "z.zarr", stack, axes="ZYX")
        for name in ("z.zarr", "z.zarr/0.tif"):
            with pytest.raises(FileError, match="is the input"):
                check_target(tmp_path / name, overwrite=True, inputs=[tmp_path / "z.zarr"])

    @pytest.mark.parametrize("name", FORMATS)
    def test_over_another_file_only_when_told(self, tmp_path, stack, name):
        write_image(tmp_path / name, stack, axes="ZYX")
        with pytest.raises(FileError, match="--overwrite"):
            write_image(tmp_path / name, stack + 1, axes="ZYX")
        np.testing.assert_array_equal(read_image(tmp_path / name).data, stack)
        write_image(tmp_path / name, stack + 1, axes="ZYX", overwrite=True)
        np.testing.assert_array_equal(read_image(tmp_path / name).data, stack + 1)
        assert [entry.name for entry in tmp_path.iterdir()] == [name]

    def test_places_that_cannot_be(self, tmp_path, stack):
        for name, words in [
            ("no/out.tif", "There is no folder"),
            ("out.jpg", r"written as \.tif"),
            ("out", r"written as \.tif"),
        ]:
            with pytest.raises(FileError, match=words):
                write_image(tmp_path / name, stack, axes="ZYX")
        (tmp_path / "dir.tif").mkdir()
        with pytest.raises(FileError, match="is a folder"):
            write_image(tmp_path / "dir.tif", stack, axes="ZYX", overwrite=True)
        with pytest.raises(FileError, match="cannot have the axes"):
            write_image(tmp_path / "a.tif", stack, axes="YX")
        with pytest.raises(FileError, match="voxel sizes"):
            write_image(tmp_path / "a.tif", stack, axes="ZYX", spacing=(1, 1))

    def test_space_is_checked_beforehand(self, tmp_path):
        with pytest.raises(FileError, match=r"will need 1e\+09 GB, but only .* free"):
            check_target(tmp_path / "a.tif", nbytes=10**18)

    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("before", [False, True])
    def test_a_full_disk_leaves_everything_as_it_was(
        self, tmp_path, stack, monkeypatch, name, before
    ):
        path = tmp_path / name
        if before:
            write_image(path, stack, axes="ZYX")

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        if name.endswith(".zarr"):
            monkeypatch.setattr("zarr.storage.LocalStore.set", full)
        else:
            monkeypatch.setattr(tifffile.FileHandle, "write", full)
            monkeypatch.setattr(tifffile.FileHandle, "write_array", full)
        with pytest.raises(FileError, match="no space left on the disk"):
            write_image(path, stack + 1, axes="ZYX", overwrite=before)
        monkeypatch.undo()
        assert [entry.name for entry in tmp_path.iterdir()] == ([name] if before else [])
        if before:
            np.testing.assert_array_equal(read_image(path).data, stack)

    def test_interrupted_halfway(self, tmp_path, stack, monkeypatch):
        def interrupt(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(target_module, "sync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_image(tmp_path / "a.tif", stack, axes="ZYX")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
    @pytest.mark.parametrize("name", FORMATS)
    def test_a_real_limit(self, tmp_path, name):
        """The kernel itself refuses to let the file grow: no monkeypatching in between."""
        code = f"""
            import resource, sys
            import numpy as np
            from napari_deconv.errors import FileError
            from napari_deconv.io import write_image
            noise = np.random.default_rng(0).random((8, 256, 256))
            resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
            try:
                write_image({str(tmp_path / name)!r}, noise, axes="ZYX")
            except FileError as error:
                print(error)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "no space left on the disk" in done.stdout
        assert list(tmp_path.iterdir()) == []
