"""The Measure dock: volumes, diameters, intensities and scores of labels, layer by layer."""
