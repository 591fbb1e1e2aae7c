"""What files tell of their microscope, by files made for it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.errors import FileError
from napari_deconv.io import Channel, read_image, write_image
from napari_deconv.io.microscope_metadata import _MODALITIES, microscope_fields
from napari_deconv.optics import Microscope
from napari_deconv.registry import modalities, parameters_of

INSTRUMENT = """
<Instrument ID="Instrument:0">
  <Laser ID="LightSource:1" Wavelength="561"/>
  <Objective ID="Objective:0" LensNA="0.45" NominalMagnification="10" Immersion="Air"/>
  <Objective ID="Objective:1" LensNA="1.4" NominalMagnification="63" Immersion="Oil"
             Model="Apochromat 63x/1.4"/>
</Instrument>"""
CHANNELS = """
<Channel ID="Channel:0:0" Name="GFP" SamplesPerPixel="1" EmissionWavelength="519"
         ExcitationWavelength="0.488" ExcitationWavelengthUnit="µm" PinholeSize="61.2"
         AcquisitionMode="LaserScanningConfocalMicroscopy"/>
<Channel ID="Channel:0:1" Name="red" SamplesPerPixel="1" EmissionWavelength="610"
         AcquisitionMode="SpinningDiskConfocal"><LightSourceSettings ID="LightSource:1"/></Channel>
<Channel ID="Channel:0:2" SamplesPerPixel="1" EmissionWavelength="0"
         AcquisitionMode="BrightField"/>"""


def ome(instrument=INSTRUMENT, settings='<ObjectiveSettings ID="Objective:1"/>', channels=CHANNELS):
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'{instrument}<Image ID="Image:0">{settings}<Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        'Type="uint16" SizeX="8" SizeY="8" SizeZ="1" SizeC="3" SizeT="1">'
        f"{channels}<TiffData/></Pixels></Image></OME>"
    )


GREEN = {
    "numerical_aperture": 1.4,
    "immersion_index": 1.515,
    "magnification": 63.0,
    "objective": "Apochromat 63x/1.4",
    "channel": "GFP",
    "emission_wavelength": pytest.approx(0.519),
    "excitation_wavelength": pytest.approx(0.488),
    "modality": "confocal",
    "pinhole_diameter": pytest.approx(61.2),
}


class TestOmeXml:
    def test_everything_that_is_told(self):
        assert microscope_fields(ome()) == GREEN
        assert microscope_fields("\ufeff\n" + ome()) == GREEN

    def test_each_channel_has_its_light(self):
        red = microscope_fields(ome(), channel=1)
        assert red["emission_wavelength"] == pytest.approx(0.61)
        assert red["excitation_wavelength"] == pytest.approx(0.561)  # of the laser it refers to
        assert red["modality"] == "spinning-disk"
        dark = microscope_fields(ome(), channel=2)
        assert dark == {
            name: GREEN[name]
            for name in ("numerical_aperture", "immersion_index", "magnification", "objective")
        }
        assert microscope_fields(ome(), channel=3) == dark

    @pytest.mark.parametrize(
        ("settings", "index"),
        [
            ('<ObjectiveSettings ID="Objective:1" RefractiveIndex="1.518"/>', 1.518),
            # No aperture of 1.4 in air: the objective's immersion is believed instead.
            ('<ObjectiveSettings ID="Objective:1" RefractiveIndex="1.0"/>', 1.515),
            ('<ObjectiveSettings ID="Objective:1" RefractiveIndex="0"/>', 1.515),
            ('<ObjectiveSettings ID="Objective:1" RefractiveIndex="oil"/>', 1.515),
            ('<ObjectiveSettings ID="Objective:1" Medium="Glycerin"/>', 1.47),
            ('<ObjectiveSettings ID="Objective:0"/>', 1.0),
            ('<ObjectiveSettings ID="Objective:7"/>', None),
            ("", None),  # two objectives, and none is named
        ],
    )
    def test_the_immersion(self, settings, index):
        assert microscope_fields(ome(settings=settings)).get("immersion_index") == index

    def test_the_only_objective_is_the_one_used(self):
        one = '<Instrument ID="I:0"><Objective ID="O:0" LensNA="0.8" Immersion="Air"/></Instrument>'
        told = microscope_fields(ome(instrument=one, settings=""))
        assert (told["numerical_aperture"], told["immersion_index"]) == (0.8, 1.0)

    @pytest.mark.parametrize("aperture", ["0", "-1", "140", "nan", "inf", "high"])
    def test_an_aperture_that_cannot_be_is_left_out(self, aperture):
        text = ome().replace('LensNA="1.4"', f'LensNA="{aperture}"')
        assert "numerical_aperture" not in microscope_fields(text)

    def test_what_it_tells_makes_a_microscope(self):
        known = parameters_of(Microscope)
        told = microscope_fields(ome())
        scope = Microscope(**{name: value for name, value in told.items() if name in known})
        assert scope.excitation_wavelength == pytest.approx(0.488)

    def test_modalities_are_those_of_the_package(self):
        assert set(_MODALITIES.values()) == set(modalities())

    @pytest.mark.parametrize(
        "text", ["<", "<a/>", "<OME></OME>", "<OME><Image/></OME>", "<OME", "<!-- -->"]
    )
    def test_what_tells_nothing_is_empty(self, text):
        assert microscope_fields(text) == {}

    @settings(deadline=None)
    @given(
        start=st.integers(0, 1200),
        length=st.integers(0, 40),
        junk=st.text("<>/=\"' 019abc.-", max_size=8),
    )
    def test_damage_never_raises(self, start, length, junk):
        text = ome()
        told = microscope_fields("<" + text[1:start] + junk + text[start + length :])
        assert isinstance(told, dict)


def ome_tiff(folder):
    data = np.zeros((3, 8, 8), np.uint16)
    text = ome().encode("utf-8")
    tifffile.imwrite(
        folder / "x.ome.tif", data, photometric="minisblack", description=text, metadata=None
    )
    return folder / "x.ome.tif"


class TestFiles:
    def test_ome_tiff(self, tmp_path):
        path = ome_tiff(tmp_path)
        assert microscope_fields(path) == GREEN
        assert microscope_fields(str(path), channel=1)["channel"] == "red"
        assert read_image(path).optics == {"numerical_aperture": 1.4, "immersion_index": 1.515}

    def test_ome_tiff_of_this_package(self, tmp_path):
        channels = [Channel("a", 0.45), Channel("b", 0.61)]
        data = np.zeros((2, 8, 8), np.float32)
        write_image(tmp_path / "x.ome.tif", data, axes="CYX", channels=channels)
        told = microscope_fields(tmp_path / "x.ome.tif", channel=1)
        assert told == {"channel": "b", "emission_wavelength": pytest.approx(0.61)}

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_ome_zarr(self, tmp_path, version):
        path = tmp_path / "x.ome.zarr"
        channels = [Channel("a", 0.45), Channel("b")]
        data = np.zeros((2, 8, 8), np.float32)
        write_image(path, data, axes="CYX", channels=channels, ome_zarr_version=version)
        told = {"channel": "a", "emission_wavelength": pytest.approx(0.45)}
        assert microscope_fields(path) == told
        assert microscope_fields(path, channel=1) == {"channel": "b"}
        assert microscope_fields(path, channel=2) == {}
        # Converters keep the whole OME-XML beside the pixels.
        (path / "OME").mkdir()
        (path / "OME" / "METADATA.ome.xml").write_text(ome(), "utf-8")
        assert microscope_fields(path) == GREEN

    @pytest.mark.parametrize("name", ["x.ome.xml", "x.ome", "x.xml"])
    def test_ome_xml_by_itself(self, tmp_path, name):
        (tmp_path / name).write_text(ome(), "utf-8")
        assert microscope_fields(tmp_path / name) == GREEN

    @pytest.mark.parametrize("name", ["x.tif", "x.ome.zarr"])
    def test_a_file_that_tells_nothing(self, tmp_path, name):
        write_image(tmp_path / name, np.zeros((4, 8, 8), np.float32), axes="ZYX")
        assert microscope_fields(tmp_path / name) == {}

    @pytest.mark.parametrize("name", ["x.tif", "x.ome.tif", "x.xml", "x.png", "x.zarr", "x.czi"])
    @pytest.mark.parametrize("raw", [b"", b"II*\0", b"\xff\xfe<", b"<OME>" + bytes(20)])
    def test_a_damaged_file_tells_nothing(self, tmp_path, capfd, name, raw):
        (tmp_path / name).write_bytes(raw)
        assert microscope_fields(tmp_path / name) == {}
        assert capfd.readouterr().err == ""

    def test_a_truncated_ome_tiff(self, tmp_path, capfd):
        path = ome_tiff(tmp_path)
        raw = path.read_bytes()
        for end in range(0, len(raw), 97):
            path.write_bytes(raw[:end])
            assert microscope_fields(path) in ({}, GREEN)
        assert capfd.readouterr().err == ""

    def test_an_empty_folder_tells_nothing(self, tmp_path):
        (tmp_path / "x.zarr").mkdir()
        (tmp_path / "x.zarr" / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
        assert microscope_fields(tmp_path / "x.zarr") == {}
        assert microscope_fields(tmp_path) == {}

    def test_no_file(self, tmp_path):
        with pytest.raises(FileError, match="There is no file"):
            microscope_fields(tmp_path / "none.tif")
