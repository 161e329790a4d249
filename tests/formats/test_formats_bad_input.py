"""The table of bad inputs: each gets one sentence that says what, why and what to do."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
import zarr

from napari_sortingloss.errors import BadInput, NeedsOption
from napari_sortingloss.formats import ReadOptions, array_source, open_source

VOLUME = np.arange(9 * 13 * 17, dtype=np.uint16).reshape(9, 13, 17)
FRAME = np.diag([-0.5, -0.75, 2.5, 1])
Case = Callable[..., Any]
CASES: list[Any] = []


def case(why: str, todo: str, options: ReadOptions | None = None) -> Callable[[Case], Case]:
    """Register a maker of a bad file, with the regular expressions that its reason and its advice must match."""

    def register(make: Case) -> Case:
        CASES.append(pytest.param(make, why, todo, options, id=make.__name__.replace("_", " ")))
        return make

    return register


def cut(path: Path, fraction: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def tiff(folder: Path, values: np.ndarray = VOLUME, **more: Any) -> Path:
    more.setdefault("photometric", "minisblack")
    tifffile.imwrite(folder / "a.tif", values, **more)
    return folder / "a.tif"


def nifti(folder: Path, values: np.ndarray = VOLUME, name: str = "a.nii.gz") -> Path:
    nibabel.save(nibabel.Nifti1Image(values, FRAME), folder / name)
    return folder / name


def hdf5(folder: Path, **datasets: Any) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return folder / "a.h5"


def slices(folder: Path, images: list[np.ndarray]) -> Path:
    for i, image in enumerate(images):
        (folder / f"s{i}.png").write_bytes(imagecodecs.png_encode(image))
    return folder


def ome(folder: Path, shape: tuple[int, ...], axes: str) -> Path:
    names = [{"name": a, "type": "space"} for a in axes]
    transform = [{"type": "scale", "scale": [1.0] * len(shape)}]
    scales = [{"axes": names, "datasets": [{"path": "0", "coordinateTransformations": transform}]}]
    about = {"ome": {"version": "0.5", "multiscales": scales}}
    group = zarr.create_group(folder / "a.zarr", attributes=about)
    group.create_array("0", shape=shape, dtype="uint8", chunks=shape)
    return folder / "a.zarr"


@case("it does not exist", "check the path")
def missing_file(folder, **_):
    return folder / "nowhere.tif"


@case(r"empty \(0 bytes\)", "copy or export it again")
def empty_file(folder, **_):
    (folder / "a.tif").write_bytes(b"")
    return folder / "a.tif"


@case("'.docx' are not supported", r"one of these kinds: \.tif .*\.npy")
def unknown_suffix(folder, **_):
    (folder / "a.docx").write_bytes(b"some words")
    return folder / "a.docx"


@case("packed archive", "unpack it")
def zip_archive(folder, **_):
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    return folder / "a.zip"


@case("content is PNG, not TIFF", r"ends in \.png")
def png_called_tif(folder, **_):
    (folder / "a.tif").write_bytes(imagecodecs.png_encode(VOLUME[0]))
    return folder / "a.tif"


@case("content is HDF5, not NIfTI", r"ends in \.h5")
def hdf5_called_nii(folder, **_):
    return hdf5(folder, data=VOLUME).rename(folder / "a.nii")


@case("compressed with gzip", r"rename it to 'a\.nii\.gz'")
def packed_nifti_called_nii(folder, **_):
    return nifti(folder).rename(folder / "a.nii")


@case("not compressed with gzip", r"rename it to 'a\.nii'")
def plain_nifti_called_gz(folder, **_):
    return nifti(folder, name="b.nii").rename(folder / "a.nii.gz")


@case("content is not TIFF", "suffix of its real format")
def text_called_tif(folder, **_):
    (folder / "a.tif").write_text("not an image at all")
    return folder / "a.tif"


@case("content is not NRRD", "suffix of its real format")
def text_called_nrrd(folder, **_):
    (folder / "a.nrrd").write_text("not an image at all")
    return folder / "a.nrrd"


@case("content is not MetaImage", "suffix of its real format")
def text_called_mha(folder, **_):
    (folder / "a.mha").write_text("not an image at all")
    return folder / "a.mha"


@case("content is not DICOM", "suffix of its real format")
def text_called_dcm(folder, **_):
    (folder / "a.dcm").write_text("not an image at all")
    return folder / "a.dcm"


@case("content is not NIfTI", "suffix of its real format")
def text_called_nii(folder, **_):
    (folder / "a.nii").write_text("not an image at all " * 50)
    return folder / "a.nii"


@case("damaged", "copy or export it again")
def text_called_h5(folder, **_):
    (folder / "a.h5").write_text("not an image at all")
    return folder / "a.h5"


@case("one 2D image", "all slices of the volume into one folder")
def single_tiff_page(folder, **_):
    return tiff(folder, VOLUME[0])


@case(r"one 2D image \(13 x 17\)", "all slices of the volume into one folder")
def single_picture(folder, **_):
    (folder / "a.png").write_bytes(imagecodecs.png_encode(VOLUME[0]))
    return folder / "a.png"


@case("cut off", "copy or download it again")
def tiff_without_its_last_bytes(folder, **_):
    return cut(tiff(folder, metadata=None), 0.93)


@case("cut off", "copy or download it again")
def tiff_with_half_its_pages(folder, **_):
    return cut(tiff(folder, compression="zlib"), 0.5)


@case("cut off", "copy or download it again")
def tiff_of_which_only_the_header_came(folder, **_):
    return cut(tiff(folder), 0.02)


@case("cut off", "copy or download it again")
def ome_tiff_cut_off(folder, **_):
    return cut(tiff(folder, ome=True, metadata={"axes": "ZYX"}), 0.6)


@case("cut off", "copy or download it again")
def imagej_tiff_cut_off(folder, **_):
    return cut(tiff(folder, imagej=True, metadata={"axes": "ZYX"}), 0.6)


@case("cut off", "copy or download it again")
def tiff_pages_cut_off(folder, **_):
    with tifffile.TiffWriter(folder / "a.tif") as tif:
        for page in VOLUME:
            tif.write(page, contiguous=False, metadata=None)
    return cut(folder / "a.tif", 0.55)


@case(r"colour \(RGB\)", "convert it to greyscale")
def rgb_tiff(folder, **_):
    return tiff(folder, np.zeros((13, 17, 3), np.uint8), photometric="rgb")


@case(r"colour \(RGB\)", "convert it to greyscale")
def rgb_tiff_stack(folder, **_):
    return tiff(folder, np.zeros((9, 13, 17, 3), np.uint8), photometric="rgb")


@case("axis 'T' has 3 time points", "each time point as a file")
def tiff_time_series(folder, **_):
    return tiff(folder, np.zeros((3, 9, 13, 17), np.uint8), imagej=True, metadata={"axes": "TZYX"})


@case("axis 'C' has 2 channels", "each channel as a file")
def tiff_channels(folder, **_):
    return tiff(folder, np.zeros((9, 2, 13, 17), np.uint8), imagej=True, metadata={"axes": "ZCYX"})


@case("pages differ in size", "all slices of one size")
def tiff_pages_of_different_sizes(folder, **_):
    with tifffile.TiffWriter(folder / "a.tif") as tif:
        for n in (13, 12, 11):
            tif.write(VOLUME[0, :n], metadata=None)
    return folder / "a.tif"


@case("holds 2 volumes", r"option 'dataset': 0 \(9 x 13 x 17 uint16\)")
def tiff_of_two_volumes(folder, **_):
    with tifffile.TiffWriter(folder / "a.tif") as tif:
        tif.write(VOLUME, photometric="minisblack")
        tif.write(VOLUME[:, :5], photometric="minisblack")
    return folder / "a.tif"


@case("complex numbers", "magnitude or the real part")
def complex_tiff(folder, **_):
    return tiff(folder, VOLUME.astype(np.complex64))


@case("cut off: .*bytes", "copy or download it again")
def nifti_shorter_than_its_header_says(folder, **_):
    return cut(nifti(folder, name="a.nii"), 0.8)


@case(r"cut off: only about \d+ % of its voxels", "copy or download it again")
def gzip_cut_off(folder, **_):
    noise = np.random.default_rng(0).integers(0, 2**16, VOLUME.shape).astype(np.uint16)
    return cut(nifti(folder, noise), 0.5)


@case("axis 't' has 4 time points", "each time point as a file")
def nifti_time_series(folder, **_):
    return nifti(folder, np.zeros((17, 13, 9, 4), np.uint8))


@case("axis 4 has 3 entries", "as a file of its own")
def nifti_vectors(folder, **_):
    return nifti(folder, np.zeros((17, 13, 9, 1, 3), np.float32))


@case("one 2D image", "all slices of the volume into one folder")
def nifti_2d(folder, **_):
    return nifti(folder, VOLUME[0])


@case("only one slice thick", "with all slices of the volume")
def nifti_of_one_slice(folder, **_):
    return nifti(folder, VOLUME[:, :, :1])


@case("complex numbers", "magnitude or the real part")
def nifti_complex(folder, **_):
    return nifti(folder, VOLUME.astype(np.complex64))


@case(r"colour \(RGB\)", "convert it to greyscale")
def nifti_rgb(folder, **_):
    return nifti(folder, np.zeros((9, 13, 17), [("R", "u1"), ("G", "u1"), ("B", "u1")]))


@case(
    r"about 1 slice missing between 'im006.dcm' and 'im005.dcm' \(5 mm apart instead of 2.5 mm\)",
    "copy the missing",
)
def dicom_with_a_missing_slice(folder, write_dicom):
    write_dicom(folder, VOLUME, positions=[2.5 * i + 2.5 * (i > 3) for i in range(9)])
    return folder


@case("unevenly spaced", "resample it to even spacing")
def dicom_of_uneven_spacing(folder, write_dicom):
    write_dicom(folder, VOLUME, positions=[2.5 * i + (i > 3) for i in range(9)])
    return folder


@case("up to 2 images lie at the same position", "each of them as a series")
def dicom_of_two_phases(folder, write_dicom):
    write_dicom(folder, VOLUME, uid="1.2.3.4", prefix="a")
    write_dicom(folder, VOLUME, uid="1.2.3.4", prefix="b")
    return folder


@case(r"holds 2 series: 1 'thorax' \(9 images, 'a001.dcm'\), 2 'head'", "choose one file of the series")
def dicom_of_two_series(folder, write_dicom):
    write_dicom(folder, VOLUME, number=1, prefix="a")
    write_dicom(folder, VOLUME, number=2, prefix="b", description="head")
    return folder


@case("differ in size: 'b001.dcm' has 5 x 17, 'a001.dcm' 13 x 17", "move images that do not belong")
def dicom_of_two_sizes(folder, write_dicom):
    write_dicom(folder, VOLUME, uid="1.2.3.4", prefix="a")
    write_dicom(folder, VOLUME[:3, :5], uid="1.2.3.4", prefix="b", positions=[100, 101, 102])
    return folder


@case("only one slice thick", "with all slices of the volume")
def dicom_of_one_slice(folder, write_dicom):
    return write_dicom(folder, VOLUME[:1])[0]


@case("cut off: the end of its pixels is missing", "copy or download it again")
def dicom_cut_off(folder, write_dicom):
    cut(write_dicom(folder, VOLUME)[4], 0.8)
    return folder


@case(r"colour \(RGB\)", "convert it to greyscale")
def dicom_rgb(folder, write_dicom):
    write_dicom(folder, np.zeros((5, 6, 7, 3), np.uint8), samples=3)
    return folder


@case("slices are missing between", "copy the missing files")
def dicom_without_positions_and_a_number_missing(folder, write_dicom):
    write_dicom(folder, VOLUME, located=False)[4].unlink()
    return folder


@case("cut off: 9 x 13 x 17 voxels of uint16 need", "copy or download it again")
def nrrd_cut_off(folder, **_):
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(folder / "a.nrrd"))
    return cut(folder / "a.nrrd", 0.7)


@case("cut off: .* compressed bytes are announced", "copy or download it again")
def compressed_metaimage_cut_off(folder, **_):
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(folder / "a.mha"), True)
    return cut(folder / "a.mha", 0.8)


@case("its voxels are in 'a.raw', which does not exist", "copy that file beside it")
def metaimage_without_its_voxels(folder, **_):
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(folder / "a.mhd"))
    (folder / "a.raw").unlink()
    return folder / "a.mhd"


@case("axis 'c' has 2 channels", "each channel as a file")
def metaimage_with_channels(folder, **_):
    values = np.zeros((9, 13, 17, 2), np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=True), str(folder / "a.mha"))
    return folder / "a.mha"


@case(r"colour \(RGB\)", "convert it to greyscale")
def nrrd_rgb(folder, **_):
    values = np.zeros((9, 13, 17, 3), np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=True), str(folder / "a.nrrd"))
    return folder / "a.nrrd"


@case("encoding 'ascii'", "encoding raw or gzip")
def nrrd_as_text(folder, **_):
    (folder / "a.nrrd").write_text(
        "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: ascii\n\n1 2 3 4 5 6 7 8\n"
    )
    return folder / "a.nrrd"


@case("no 3D dataset of numbers", "choose a file with a volume")
def hdf5_without_a_volume(folder, **_):
    return hdf5(folder, angles=np.arange(5.0), name="fish")


@case("holds 2 volumes", r"option 'dataset': /a \(9 x 13 x 17 uint16\), /b \(9 x 13 x 17 uint16\)")
def hdf5_of_two_volumes(folder, **_):
    return hdf5(folder, a=VOLUME, b=VOLUME)


@case("no dataset 'nope'", r"choose one of /a \(9 x 13 x 17 uint16\)", ReadOptions(dataset="nope"))
def hdf5_without_the_wanted_dataset(folder, **_):
    return hdf5(folder, a=VOLUME)


@case("axis 0 has 4 entries", "as a file of its own")
def hdf5_4d(folder, **_):
    return hdf5(folder, data=np.zeros((4, 9, 13, 17), np.uint8))


@case("cut off", "copy or download it again")
def hdf5_cut_off(folder, **_):
    return cut(hdf5(folder, data=VOLUME), 0.7)


@case("damaged", "copy or export it again")
def zarr_without_metadata(folder, **_):
    path = ome(folder, (9, 13, 17), "zyx")
    (path / "zarr.json").unlink()
    return path


@case("damaged", "copy or export it again")
def zarr_with_broken_json(folder, **_):
    path = ome(folder, (9, 13, 17), "zyx")
    (path / "zarr.json").write_text('{"zarr_format": 3,')
    return path


@case("has no part '0'", "choose one it has")
def zarr_without_its_first_level(folder, **_):
    path = ome(folder, (9, 13, 17), "zyx")
    (path / "0" / "zarr.json").unlink()
    return path


@case("axis 't' has 4 time points", "each time point as a file")
def zarr_time_series(folder, **_):
    return ome(folder, (4, 9, 13, 17), "tzyx")


@case("axis 'c' has 2 channels", "each channel as a file")
def zarr_channels(folder, **_):
    return ome(folder, (2, 9, 13, 17), "czyx")


@case("only one slice thick", "with all slices of the volume")
def zarr_of_one_slice(folder, **_):
    return ome(folder, (1, 13, 17), "zyx")


@case("does not say its own size and number type", r"raw-shape and raw-dtype, for example 300 512 512")
def raw_without_a_shape(folder, **_):
    VOLUME.tofile(folder / "a.raw")
    return folder / "a.raw"


@case(
    "9 x 13 x 17 voxels of uint8 need 1,989 bytes, but 3,978 are there",
    "would fit: type uint16, or shape 18 13 17",
    ReadOptions(raw_shape=(9, 13, 17), raw_dtype="uint8"),
)
def raw_of_another_type(folder, **_):
    VOLUME.tofile(folder / "a.raw")
    return folder / "a.raw"


@case(
    "10 x 13 x 17 voxels of uint16 need 4,420 bytes, but 3,978 are there",
    "would fit: shape 9 13 17",
    ReadOptions(raw_shape=(10, 13, 17), raw_dtype="uint16"),
)
def raw_of_another_length(folder, **_):
    VOLUME.tofile(folder / "a.raw")
    return folder / "a.raw"


@case(
    "need 3,978 bytes, but 3,990 are there",
    "offset 12",
    ReadOptions(raw_shape=(9, 13, 17), raw_dtype="uint16"),
)
def raw_with_a_header(folder, **_):
    (folder / "a.raw").write_bytes(b"x" * 12 + VOLUME.tobytes())
    return folder / "a.raw"


@case("differ: 's4.png' is 12 x 17, 's0.png' is 13 x 17", "move files that do not belong")
def slices_of_different_sizes(folder, **_):
    images = list(VOLUME)
    images[4] = images[4][:12].copy()
    return slices(folder, images)


@case("differ: 's4.png' is uint8, 's0.png' is uint16", "move files that do not belong")
def slices_of_different_types(folder, **_):
    images = list(VOLUME)
    images[4] = images[4].astype(np.uint8)
    return slices(folder, images)


@case(r"colour \(RGB\)", "convert it to greyscale")
def colour_slices(folder, **_):
    return slices(folder, [np.random.default_rng(i).integers(0, 255, (8, 9, 3), np.uint8) for i in range(5)])


@case("the end of the picture is missing", "copy or download it again")
def a_slice_that_is_cut_off(folder, **_):
    slices(folder, list(VOLUME))
    cut(folder / "s4.png", 0.5)
    return folder


@case("several pages, but lies among single slices", "folder of its own")
def a_stack_among_slices(folder, **_):
    for i, image in enumerate(VOLUME):
        tifffile.imwrite(folder / f"s{i}.tif", VOLUME if i == 5 else image, photometric="minisblack")
    return folder


@case("only one slice thick", "with all slices of the volume")
def a_folder_of_one_slice(folder, **_):
    return slices(folder, [VOLUME[0]])


@case("the folder is empty", "choose a folder with volumes or slices")
def empty_folder(folder, **_):
    return folder


@case("nothing that can be read", "choose a folder with volumes or slices")
def folder_of_text(folder, **_):
    (folder / "readme.txt").write_text("x")
    return folder


@case("damaged|cut off", "copy or (export|download) it again")
def npy_cut_off(folder, **_):
    np.save(folder / "a.npy", VOLUME)
    return cut(folder / "a.npy", 0.5)


@case("not plain numbers", "integers or as float32")
def npy_of_objects(folder, **_):
    np.save(folder / "a.npy", np.empty((3, 4, 5), object))
    return folder / "a.npy"


@case(r"colour \(RGB\)", "convert it to greyscale")
def npy_of_colour(folder, **_):
    np.save(folder / "a.npy", np.zeros((20, 30, 3), np.uint8))
    return folder / "a.npy"


def check(error: BadInput, name: str, why: str, todo: str) -> None:
    assert name in error.what
    assert re.search(why, error.why), error.why
    assert re.search(todo, error.todo), error.todo
    sentence = str(error)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert not re.search(r"Traceback|Error\b|Exception|object at 0x|errno", sentence), sentence


@pytest.mark.parametrize(("make", "why", "todo", "options"), CASES)
def test_bad_input_gets_one_clear_sentence(tmp_path, capfd, write_dicom, make, why, todo, options):
    folder = tmp_path / "scan"
    folder.mkdir()
    path = make(folder, write_dicom=write_dicom)
    with pytest.raises(BadInput) as caught, open_source(path, options) as source:
        source.read(0, source.shape[0])
    check(caught.value, "Cannot read", why, todo)
    if path.is_file():
        assert path.name in caught.value.what
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (tiff_of_two_volumes, ReadOptions()),
        (tiff_of_two_volumes, ReadOptions(dataset="9")),
        (hdf5_of_two_volumes, ReadOptions()),
        (hdf5_without_the_wanted_dataset, ReadOptions(dataset="nope")),
        (dicom_of_two_series, ReadOptions()),
        (dicom_of_two_series, ReadOptions(dataset="9")),
        (raw_without_a_shape, ReadOptions()),
        (raw_of_another_length, ReadOptions(raw_shape=(10, 13, 17), raw_dtype="uint16")),
    ],
)
def test_a_file_that_an_option_makes_readable_is_told_apart(tmp_path, write_dicom, make, options):
    folder = tmp_path / "scan"
    folder.mkdir()
    path = make(folder, write_dicom=write_dicom)
    with pytest.raises(NeedsOption), open_source(path, options):
        pass


def test_the_table_is_long_enough():
    assert len(CASES) >= 50


@pytest.mark.parametrize("method", ["open", "iterdir"])
def test_a_lack_of_permission_is_said(tmp_path, monkeypatch, method):
    """Root may read everything, so the refusal is simulated."""
    path = slices(tmp_path, list(VOLUME)) if method == "iterdir" else tiff(tmp_path)

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(BadInput) as caught:
        open_source(path)
    check(caught.value, path.name, "no permission to read it", "change its permissions")


@pytest.mark.parametrize(
    ("values", "why", "todo"),
    [
        (np.zeros((5, 6)), "one 2D image", "one folder"),
        (np.zeros((3, 5, 6, 7)), "axis 0 has 3 entries", "as a file of its own"),
        (np.zeros((20, 30, 3), np.uint8), "colour", "greyscale"),
        (np.zeros((5, 20, 30, 4), np.uint8), "colour", "greyscale"),
        (np.zeros((1, 6, 7)), "one slice thick", "all slices"),
        (np.zeros((5, 6, 7), complex), "complex numbers", "real part"),
        (np.zeros((0, 6, 7)), "empty", "holds voxels"),
        (np.array([[["a"]]]), "not plain numbers", "float32"),
    ],
)
def test_unfit_layers_get_one_clear_sentence(values, why, todo):
    with pytest.raises(BadInput) as caught:
        array_source(values, "my layer")
    check(caught.value, "my layer", why, todo)
