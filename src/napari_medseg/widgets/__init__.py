"""The dock forms: the only part of the project that imports napari and Qt."""
