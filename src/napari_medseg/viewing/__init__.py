"""What a radiologist expects of a screen, without a screen: widgets say what napari shows, and apply the answer.

`anatomy.py` has the letters at the edges, `planes.py` how the slices of each plane lie, and `playing.py`
how a cine is played and how fast it was.
"""
