"""Surfaces: taken from labels by marching cubes, smoothed without shrinking, written for other programs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk import atomic
from napari_sortingloss.errors import BadInput, readable_os_errors

Floats = NDArray[np.float64]
_TAUBIN = (0.5, -0.53)
_FACES_AT_ONCE = 2**18


@dataclass(frozen=True)
class Mesh:
    """A closed surface of triangles.

    Attributes
    ----------
    vertices : ndarray of float, shape (n, 3)
        (x, y, z), in the order in which files hold them.
    faces : ndarray of int, shape (m, 3)
        Corners of each triangle, counter-clockwise seen from outside.
    """

    vertices: Floats
    faces: NDArray[np.intp]

    @property
    def volume(self) -> float:
        """The volume inside, in the cube of the vertices' unit; positive where the faces look outwards."""
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)

    def moved(self, spacing: tuple[float, float, float], origin: tuple[float, float, float]) -> Mesh:
        """Return the surface with voxel indices made lengths.

        Parameters
        ----------
        spacing, origin : tuple of float
            The size of a voxel and the place of the centre of the first one, both (z, y, x).
        """
        return Mesh(self.vertices * spacing[::-1] + np.array(origin[::-1]), self.faces)


def surface(mask: NDArray[np.bool_], smooth: int = 0) -> Mesh:
    """Return the surface of what is inside, closed also where it meets the edge of the array.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        With at least one voxel set.
    smooth : int
        How often it is smoothed, see `smoothed`.

    Returns
    -------
    Mesh
        In voxel indices: the centre of the first voxel is 0.

    Notes
    -----
    Marching cubes of Lewiner et al. (2003), Efficient implementation of marching cubes' cases with topological
    guarantees, J. Graphics Tools 8(2).
    """
    from skimage.measure import marching_cubes

    padded = np.pad(mask, 1)
    vertices, faces, _, _ = marching_cubes(padded.astype(np.float32), 0.5)
    # (z, y, x) read as (x, y, z) is a mirror, in which the triangles turn the other way round
    made = Mesh(vertices[:, ::-1].astype(np.float64) - 1.0, faces[:, ::-1].astype(np.intp))
    if made.volume < 0:
        made = Mesh(made.vertices, made.faces[:, ::-1])
    return smoothed(made, smooth)


def smoothed(mesh: Mesh, times: int) -> Mesh:
    """Return a surface without the steps of its voxels.

    Each time every vertex is drawn towards the mean of its neighbours and pushed back a little further, which leaves
    the large shape as it is (Taubin 1995, A signal processing approach to fair surface design, SIGGRAPH).

    Parameters
    ----------
    mesh : Mesh
    times : int
    """
    if not times:
        return mesh
    from scipy.sparse import coo_array

    n = len(mesh.vertices)
    rows = mesh.faces[:, [0, 1, 1, 2, 2, 0]].ravel()
    columns = mesh.faces[:, [1, 0, 2, 1, 0, 2]].ravel()
    links = coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(n, n)).tocsr()
    links.data[:] = 1  # an edge belongs to two triangles
    share = 1.0 / np.maximum(links.sum(axis=1), 1).astype(np.float64)[:, None]
    vertices = mesh.vertices
    for _ in range(times):
        for factor in _TAUBIN:
            vertices = vertices + factor * (share * (links @ vertices) - vertices)
    return Mesh(vertices, mesh.faces)


def outwards(mesh: Mesh) -> Mesh:
    """Return a convex surface whose faces all look outwards."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    inwards = np.einsum("ij,ij->i", np.cross(b - a, c - a), a - mesh.vertices.mean(axis=0)) < 0
    faces = mesh.faces.copy()
    faces[inwards] = faces[inwards][:, ::-1]
    return Mesh(mesh.vertices, faces)


def write_mesh(path: Path, mesh: Mesh, color: tuple[int, int, int] = (200, 200, 200), name: str = "") -> None:
    """Write a surface; the file is there whole or not at all.

    Parameters
    ----------
    path : Path
        ``.ply`` (binary, with a colour), ``.stl`` (binary) or ``.obj``; what is there is replaced.
    mesh : Mesh
    color : tuple of int
        Red, green and blue, 0 to 255.
    name : str
        What it is, for the file's own header.

    Raises
    ------
    BadInput
        If the suffix is another one.
    OutOfSpace, UserError
        If the disk is full or fails; what was there before stays.
    """
    what = f"Cannot write '{path.name}'"
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise BadInput(
            what, f"surfaces cannot be written as '{path.suffix}'", f"choose one of {' '.join(WRITERS)}"
        )
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with readable_os_errors(what):
        try:
            with temporary.open("xb") as file:
                write(file, mesh, color, " ".join(name.split()))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        atomic.sync_folder(path.parent)


def _write_ply(file: IO[bytes], mesh: Mesh, color: tuple[int, int, int], name: str) -> None:
    corners = [f"property float {axis}" for axis in "xyz"]
    colors = [f"property uchar {part}" for part in ("red", "green", "blue")]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment napari-sortingloss {name.encode('ascii', 'replace').decode()}".rstrip(),
        f"element vertex {len(mesh.vertices)}",
        *corners,
        *colors,
        f"element face {len(mesh.faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    file.write(("\n".join(header) + "\n").encode())
    vertices = np.empty(len(mesh.vertices), [("place", "<f4", 3), ("color", "u1", 3)])
    vertices["place"], vertices["color"] = mesh.vertices, color
    file.write(vertices.tobytes())
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    file.write(faces.tobytes())


def _write_stl(file: IO[bytes], mesh: Mesh, color: tuple[int, int, int], name: str) -> None:
    header = f"napari-sortingloss {name}".encode("ascii", "replace")[:80]
    file.write(header.ljust(80, b" ") + np.uint32(len(mesh.faces)).astype("<u4").tobytes())
    for start in range(0, len(mesh.faces), _FACES_AT_ONCE):
        corners = mesh.vertices[mesh.faces[start : start + _FACES_AT_ONCE]]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        made = np.zeros(
            len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
        )
        made["normal"], made["corners"] = normals / np.where(length == 0, 1, length), corners
        file.write(made.tobytes())


def _write_obj(file: IO[bytes], mesh: Mesh, color: tuple[int, int, int], name: str) -> None:
    file.write(f"# napari-sortingloss\no {name or 'surface'}\n".encode())
    for start in range(0, len(mesh.vertices), _FACES_AT_ONCE):
        rows = mesh.vertices[start : start + _FACES_AT_ONCE].tolist()
        file.write("".join(f"v {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in rows).encode())
    for start in range(0, len(mesh.faces), _FACES_AT_ONCE):
        corners = (mesh.faces[start : start + _FACES_AT_ONCE] + 1).tolist()
        file.write("".join(f"f {a} {b} {c}\n" for a, b, c in corners).encode())


WRITERS: dict[str, Callable[[IO[bytes], Mesh, tuple[int, int, int], str], None]] = {
    ".ply": _write_ply,
    ".stl": _write_stl,
    ".obj": _write_obj,
}
"""What writes each kind of file."""
