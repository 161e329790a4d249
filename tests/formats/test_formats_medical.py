"""NIfTI, NRRD, MetaImage and DICOM: oriented to LPS, scaled, with voxel sizes; judged against nibabel and SimpleITK."""

import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from napari_sortingloss.formats import ReadOptions, find_sources, open_source

ORIENTATIONS = ["RAS", "LPS", "LAS", "RPI", "PIR", "SAL", "ASR", "IPL"]


def save_nifti(path, values, codes, sizes=(0.5, 0.75, 2.5), **more):
    """Save values (x, y, z) that are already in the frame `codes`."""
    ornt = nibabel.orientations.axcodes2ornt(codes)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(ornt):
        affine[int(world), axis] = sign * sizes[axis]
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units(more.get("unit", "mm"))
    nibabel.save(image, path)


def in_lps(path):
    """What nibabel makes of a file: (z, y, x) in LPS and its voxel size."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    sizes = nibabel.affines.voxel_sizes(image.affine)[::-1]
    return np.asanyarray(image.dataobj)[::-1, ::-1].transpose(2, 1, 0), sizes


@pytest.mark.parametrize("codes", ORIENTATIONS)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_of_any_orientation_comes_out_in_lps(tmp_path, numbered, read_all, codes, suffix):
    path = tmp_path / f"head{suffix}"
    save_nifti(path, numbered("int16"), codes)
    source = open_source(path)
    expected, sizes = in_lps(path)
    assert source.name == "head"
    assert source.metadata["orientation"] == codes
    assert source.geometry.voxel_size == pytest.approx(sizes)
    np.testing.assert_array_equal(read_all(source, step=3), expected)


def test_an_lps_nifti_is_the_plain_transpose(tmp_path, numbered, read_all):
    values = numbered()
    save_nifti(tmp_path / "a.nii.gz", values, "LPS")
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.nii.gz")), values.transpose(2, 1, 0))


def test_an_oblique_nifti_takes_the_nearest_axes(tmp_path, numbered, read_all):
    values = numbered("int16")
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.5, 0.75, 2.5])
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "a.nii")
    source = open_source(tmp_path / "a.nii")
    assert source.geometry.voxel_size == pytest.approx((2.5, 0.75, 0.5), rel=1e-5)
    np.testing.assert_array_equal(read_all(source), values[::-1, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize("stored", ["int16", "uint8", "int32", "float32"])
def test_nifti_slope_and_intercept_are_applied(tmp_path, numbered, read_all, stored):
    image = nibabel.Nifti1Image(numbered(stored), np.diag([-0.5, -0.75, 2.5, 1]))
    image.header.set_slope_inter(0.25, -1000)
    nibabel.save(image, tmp_path / "a.nii.gz")
    source = open_source(tmp_path / "a.nii.gz")
    assert source.dtype == (np.float64 if stored == "int32" else np.float32)
    expected = np.asanyarray(nibabel.load(tmp_path / "a.nii.gz").dataobj).transpose(2, 1, 0)
    np.testing.assert_allclose(read_all(source), expected, rtol=1e-6)


def test_a_nifti_without_a_frame_is_read_as_stored(tmp_path, numbered, read_all):
    values = numbered()
    image = nibabel.Nifti1Image(values, None)
    image.header.set_zooms((0.5, 0.75, 2.5))
    nibabel.save(image, tmp_path / "a.nii")
    source = open_source(tmp_path / "a.nii")
    assert source.geometry.voxel_size == pytest.approx((2.5, 0.75, 0.5))
    np.testing.assert_array_equal(read_all(source), values.transpose(2, 1, 0))


def test_big_endian_and_pair_and_version_2_nifti_are_read(tmp_path, numbered, read_all):
    values = numbered("int16")
    affine = np.diag([-0.5, -0.75, 2.5, 1])
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nibabel.save(nibabel.Nifti1Image(values.astype(">i2"), affine, header), tmp_path / "a.nii")
    nibabel.save(nibabel.Nifti1Pair(values, affine), tmp_path / "b.img")
    nibabel.save(nibabel.Nifti2Image(values, affine), tmp_path / "c.nii")
    for name in ("a.nii", "b.hdr", "b.img", "c.nii"):
        source = open_source(tmp_path / name)
        assert source.dtype == np.int16
        assert source.dtype.isnative
        np.testing.assert_array_equal(read_all(source), values.transpose(2, 1, 0))


@pytest.mark.parametrize(("unit", "expected"), [("mm", "mm"), ("micron", "um"), ("unknown", "mm")])
def test_nifti_units_are_normalised(tmp_path, numbered, unit, expected):
    save_nifti(tmp_path / "a.nii", numbered(), "LPS", unit=unit)
    with open_source(tmp_path / "a.nii") as source:
        assert source.geometry.unit == expected
        assert source.geometry.voxel_size == (2.5, 0.75, 0.5)


def test_a_nifti_with_one_time_point_is_a_volume(tmp_path, numbered, read_all):
    values = numbered()
    save_nifti(tmp_path / "a.nii", values[..., None], "LPS")
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.nii")), values.transpose(2, 1, 0))


def itk_image(values, axes=(0, 1, 2), signs=(1, 1, 1)):
    """An image whose stored axes x, y, z point along the given world axes."""
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.75, 2.5))
    direction = np.zeros((3, 3))
    for column, (row, sign) in enumerate(zip(axes, signs, strict=True)):
        direction[row, column] = sign
    image.SetDirection(direction.ravel().tolist())
    return image


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "axes_signs",
    [((0, 1, 2), (1, 1, 1)), ((0, 1, 2), (-1, -1, -1)), ((1, 2, 0), (1, -1, -1)), ((2, 0, 1), (1, 1, -1))],
)
def test_nrrd_and_metaimage_come_out_in_lps(tmp_path, numbered, read_all, suffix, compressed, axes_signs):
    image = itk_image(numbered("int16"), *axes_signs)
    path = tmp_path / f"head{suffix}"
    sitk.WriteImage(image, str(path), compressed)
    turned = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    source = open_source(path)
    assert source.geometry.unit == "mm"
    assert source.geometry.voxel_size == pytest.approx(turned.GetSpacing()[::-1])
    np.testing.assert_array_equal(read_all(source), sitk.GetArrayFromImage(turned))


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
)
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_nrrd_and_metaimage_of_every_number_type(tmp_path, numbered, read_all, dtype, suffix):
    expected = numbered(dtype)
    sitk.WriteImage(itk_image(expected), str(tmp_path / f"a{suffix}"))
    source = open_source(tmp_path / f"a{suffix}")
    assert source.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read_all(source), expected)


def test_a_hand_written_nrrd_without_a_space_is_read_as_stored(tmp_path, volume, read_all):
    z, y, x = volume.shape
    header = (
        f"NRRD0004\n# by hand\ntype: unsigned short\ndimension: 3\nsizes: {x} {y} {z}\nendian: big\n"
        'encoding: raw\nspacings: 0.5 0.75 2.5\nunits: "um" "um" "um"\nbyte skip: -1\nkey:=value\n\n'
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + b"padding" + volume.astype(">u2").tobytes())
    source = open_source(tmp_path / "a.nrrd")
    assert source.geometry.voxel_size == (2.5, 0.75, 0.5)
    assert source.geometry.unit == "um"
    np.testing.assert_array_equal(read_all(source), volume)


def test_headers_may_point_to_one_file_a_slice(tmp_path, volume, read_all):
    z, y, x = volume.shape
    for i, image in enumerate(volume):
        (tmp_path / f"s{i:02d}.raw").write_bytes(image.tobytes())
    about = f"type: uint16\ndimension: 3\nsizes: {x} {y} {z}\nendian: little\nencoding: raw\n"
    (tmp_path / "a.nhdr").write_text("NRRD0004\n" + about + f"data file: s%02d.raw 0 {z - 1} 1\n")
    names = "\n".join(f"s{i:02d}.raw" for i in range(z))
    (tmp_path / "b.mhd").write_text(
        f"ObjectType = Image\nNDims = 3\nDimSize = {x} {y} {z}\nElementType = MET_USHORT\n"
        f"ElementSpacing = 0.5 0.75 2.5\nElementDataFile = LIST\n{names}\n"
    )
    for name in ("a.nhdr", "b.mhd"):
        np.testing.assert_array_equal(read_all(open_source(tmp_path / name)), volume)


def lps_directions():
    """Row and column directions of every axis-aligned DICOM slice orientation."""
    units = [np.array(v) * s for v in np.eye(3, dtype=int) for s in (1, -1)]
    pairs = [(a, b) for a, b in itertools.product(units, units) if not np.dot(a, b)]
    return [tuple(int(c) for c in (*a, *b)) for a, b in pairs[::5]]


@pytest.mark.parametrize("orientation", lps_directions())
def test_a_dicom_series_is_sorted_by_position_and_turned_to_lps(
    tmp_path, volume, read_all, write_dicom, orientation
):
    folder = tmp_path / "scan"
    paths = write_dicom(folder, volume.astype(np.int16), orientation=orientation)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(p) for p in paths])
    turned = sitk.DICOMOrient(reader.Execute(), "LPS")
    source = open_source(folder)
    assert source.name == "scan"
    assert source.geometry.unit == "mm"
    assert source.geometry.voxel_size == pytest.approx(turned.GetSpacing()[::-1])
    np.testing.assert_array_equal(read_all(source), sitk.GetArrayFromImage(turned))


def test_dicom_values_are_rescaled_to_hounsfield_units(tmp_path, volume, read_all, write_dicom):
    write_dicom(tmp_path / "scan", (volume % 4096).astype(np.uint16), intercept=-1024)
    source = open_source(tmp_path / "scan")
    assert source.dtype == np.int32
    np.testing.assert_array_equal(read_all(source), (volume % 4096).astype(int) - 1024)


def test_fractional_dicom_slopes_give_floats(tmp_path, volume, read_all, write_dicom):
    write_dicom(tmp_path / "scan", volume, slope=0.5)
    source = open_source(tmp_path / "scan")
    assert source.dtype == np.float32
    np.testing.assert_allclose(read_all(source), volume * 0.5)


def test_one_file_stands_for_its_dicom_series(tmp_path, volume, read_all, write_dicom):
    write_dicom(tmp_path / "scan", volume, number=1, prefix="a")
    paths = write_dicom(tmp_path / "scan", volume[:5] + 1, number=2, prefix="b")
    source = open_source(paths[2])
    assert source.name == "scan_2"
    np.testing.assert_array_equal(read_all(source), volume[:5] + 1)


def test_several_dicom_series_in_a_folder_are_several_sources(tmp_path, volume, write_dicom):
    write_dicom(tmp_path / "scan", volume, number=1, prefix="a")
    write_dicom(tmp_path / "scan", volume[:5], number=2, prefix="b")
    write_dicom(tmp_path / "scan", volume[:1], number=3, prefix="scout")
    shapes = []
    for path in find_sources([tmp_path / "scan"]):
        with open_source(path) as source:
            shapes.append(source.shape)
    assert shapes == [volume.shape, volume[:5].shape]
    with open_source(tmp_path / "scan", ReadOptions(dataset="2")) as source:
        assert source.shape == volume[:5].shape


def test_dicom_files_without_a_suffix_are_found(tmp_path, volume, read_all, write_dicom):
    for path in write_dicom(tmp_path / "scan", volume):
        path.rename(path.with_suffix(""))
    (tmp_path / "scan" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    assert find_sources([tmp_path / "scan"]) == [tmp_path / "scan"]
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "scan")), volume)


def test_dicom_without_positions_is_sorted_by_number(tmp_path, volume, read_all, write_dicom):
    write_dicom(tmp_path / "scan", volume, located=False)
    source = open_source(tmp_path / "scan")
    assert source.geometry.voxel_size is None
    np.testing.assert_array_equal(read_all(source), volume)


@pytest.mark.parametrize("codec", ["jpeg2000", "rle"])
def test_compressed_dicom_is_decoded(tmp_path, volume, read_all, write_dicom, codec):
    import pydicom

    for path in write_dicom(tmp_path / "scan", volume, intercept=-100 if codec == "rle" else 0):
        data = pydicom.dcmread(path)
        if codec == "rle":
            data.compress(pydicom.uid.RLELossless)
            data.save_as(path)
        else:
            image = sitk.ReadImage(str(path))
            for key in image.GetMetaDataKeys():
                if key.startswith("0002"):
                    image.EraseMetaData(key)
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.UseCompressionOn()
            writer.SetCompressor("JPEG2000")
            writer.SetFileName(str(path))
            writer.Execute(image)
    expected = volume.astype(int) - (100 if codec == "rle" else 0)
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "scan")), expected)


def test_a_multi_frame_dicom_file_is_a_volume(tmp_path, volume, read_all, write_dicom):
    import pydicom
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    path = write_dicom(tmp_path / "scan", volume[:1])[0]
    data = pydicom.dcmread(path)
    del data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing
    data.NumberOfFrames = len(volume)
    data.PixelData = volume.tobytes()
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.75, 0.5]
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([plane])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for i in range(len(volume)):
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, -2.5 * i]
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.save_as(tmp_path / "multi.dcm")
    source = open_source(tmp_path / "multi.dcm")
    assert source.name == "multi"
    assert source.geometry.voxel_size == pytest.approx((2.5, 0.75, 0.5))
    np.testing.assert_array_equal(read_all(source), volume[::-1])
