"""One module a family of files: each opens a file as a `VoxelSource` and is imported only when a file needs it."""
