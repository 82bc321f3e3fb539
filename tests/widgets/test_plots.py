"""Plots are in the colours of the theme, and black on white where they are saved."""

from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure

from napari_medseg.widgets.kit.plots import Plot


def contrast(plot):
    """How far apart text and background are, from 0 to 1."""
    (axes,) = plot.figure.axes
    ink, paper = (to_rgb(colour) for colour in (axes.xaxis.label.get_color(), plot.figure.get_facecolor()))
    return sum(ink) / 3 - sum(paper) / 3


def test_text_follows_the_theme_and_lines_keep_their_colours(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)  # what is hidden is not styled
    figure = Figure()
    axes = figure.add_subplot()
    (line,) = axes.plot([0, 1], [0, 1], color="#123456", label="a")
    axes.set(xlabel="steps", ylabel="Dice")
    axes.yaxis.label.set_color("#123456")
    legend = axes.legend()
    plot = Plot(figure)
    viewer.window.add_dock_widget(plot)
    for theme, sign in (("dark", 1), ("light", -1), ("dark", 1)):
        viewer.theme = theme
        qtbot.waitUntil(lambda sign=sign: sign * contrast(plot) > 0.5)
        for text in (axes.title, legend.get_texts()[0], axes.get_xticklabels()[0]):
            assert same_color(text.get_color(), axes.xaxis.label.get_color())
        assert line.get_color() == axes.yaxis.label.get_color() == "#123456"
    with plot.on_paper() as saved:
        assert same_color(saved.get_facecolor(), "white") and contrast(plot) == -1
    assert contrast(plot) > 0.5, "on the screen it is as before"
