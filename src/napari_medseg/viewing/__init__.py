"""What a radiologist expects of a screen, without a screen: widgets say what napari shows, and apply the answer.

`anatomy.py` has the letters at the edges, `planes.py` how the slices of each plane lie, and `windows.py` the grey
values of CT and MR.
"""
