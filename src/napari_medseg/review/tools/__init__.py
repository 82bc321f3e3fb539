"""Tools that correct labels: functions of arrays that return new labels in a box, and the table that lists them.

- `common.py`: where a tool works, what it changes, and the boxes of classes;
- `pieces.py`: fill holes, keep the largest piece, remove small ones, split touching ones;
- `outlines.py`: grow, shrink, smooth;
- `strokes.py`: extend what was painted up to outlines in the image;
- `slices.py`: interpolate between slices, propagate to the next one;
- `values.py`: give to another class, clear, keep an intensity range;
- `rules.py`: what no change may break: protected classes, an intensity range;
- `table.py`: all tools with their numbers and scopes; `running.py`: a tool on labels of any number of axes.

A tool gets one frame, axes (z, y, x), and works in millimetres through the spacing. It never changes a voxel of a
protected class. The border of the image is not an edge of what it cuts off.
"""
