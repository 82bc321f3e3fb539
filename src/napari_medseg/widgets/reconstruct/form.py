"""The controls of the Reconstruct dock and where they stand; what they do is in `dock.py`."""

from __future__ import annotations

from ...errors import SettingsError
from ...recon.sampling import KINDS
from ...recon.settings import (
    AUTO,
    CONSISTENCY,
    HOMODYNE,
    NONE,
    PARTIAL,
    POCS,
    FinishSettings,
    ProbeSettings,
    ReconSettings,
    Sampling,
)
from ..kit.controls import Page, Paragraph, beside, button, can_choose, check, choice, fill, line, number, progress_bar
from ..kit.copying import CopyButton
from .state import MAPS

_CENTRE = 0.32  # share of the measured columns in the centre: 8 % at 4x, 4 % at 8x
_HEAVY = 0.8
_PARTIAL = {
    AUTO: "automatic",
    POCS: "POCS",
    HOMODYNE: "homodyne detection",
    NONE: "left to the method",
}
_CONSISTENCY = {
    "none": "none",
    "soft": "soft (weighted)",
    "hard": "hard (put back)",
}


class ReconstructForm(Page):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        self._data()
        self._sampling()
        self._method()
        self._lay_out()

    def _data(self) -> None:
        self.source = choice("Raw data from a file, or an image layer whose measurement is simulated.")
        self.path = line(
            "Path of a file of raw data: fastMRI or ISMRMRD .h5, BART .cfl or .ra, .mat, complex .npy or .npz."
        )
        self.path.setPlaceholderText("path of raw k-space")
        self.browse = button("&Open…", "Choose a file of raw k-space.")
        self.axes = line(
            "Axes of the array in the order of the file: t frame, s slice, c coil, y readout, x phase encoding."
        )
        self.axes.setPlaceholderText("for example cyx; empty: as the file says")
        self.conjugate = check("Con&jugate k-space", "Tick if the image comes out mirrored (conjugates k-space).")
        self.frames = choice("All time points, contrasts, repetitions, ... of the file, or one of them.")
        self.together = check("&Together")
        self.facts = Paragraph()

    def _sampling(self) -> None:
        self.mask_kind = choice()
        self.acceleration = number(1, 64, Sampling.acceleration, 1, "How many times fewer columns are measured.", "x")
        centre = Sampling.center_fraction
        self.centre = number(0, 1, centre, 0.01, "Share of the columns that form the fully measured centre.", "", 3)
        self.seed = line("Seed of the mask, a whole number; left empty, the name of the file is the seed.")
        self.seed.setPlaceholderText("from the name")
        self.direction = choice("Axis of the phase encoding, along which columns or rows are left out.")
        fill(self.direction, [("along x (columns)", "x"), ("along y (rows)", "y")], Sampling.direction)
        self.read_out = Paragraph()
        self.view = check("Show &k-space")
        self.load = button("Load…")
        self.save_mask = button("Save…")
        self._chosen_centre = False
        self.centre.valueChanged.connect(self._centre_chosen)
        self.acceleration.valueChanged.connect(self.offer_centre)

    def _method(self) -> None:
        self.method = choice()
        self.card = button("Card", "What the model is for, from what data, and how good.")
        self.consistency = choice()
        fill(self.consistency, [(_CONSISTENCY[name], name) for name in CONSISTENCY], ReconSettings.dc)
        weight = ReconSettings.dc_weight
        self.weight = number(0, 1e6, weight, 0.5, "Weight of the measured samples against the result.", "")
        self.strength = number(
            0,
            1,
            0,
            0.0001,
            "Weight of smoothness against the measured samples. Automatic: the one that best predicts measured samples "
            "that are hidden from the method.",
            "",
            5,
        )
        self.strength.setSpecialValueText("automatic")
        self.iterations = number(0, 1000, 0, 10, "Steps towards the image; more take longer.", "", 0)
        self.iterations.setSpecialValueText("as usual")
        self.partial = choice(
            "How the side of k-space is completed that was not measured. Automatic uses POCS where measured columns "
            "that are hidden show that it helps. POCS and homodyne detection need an image with a smooth phase."
        )
        fill(self.partial, [(_PARTIAL[name], name) for name in PARTIAL], ReconSettings.partial)
        self.gibbs = number(
            0,
            1,
            FinishSettings.gibbs,
            0.25,
            "Filter against ringing at edges, from 0 to 1, after the reconstruction. It costs resolution: 0.5 makes "
            "points 1.13 times wider and lets edges overshoot by 2 % in place of 9 %; 1 makes them 1.67 times wider.",
            "",
        )
        self.gibbs.setSpecialValueText("no filter")
        self.interpolate = check(
            "Half p&ixels",
            "Halve the pixel size in plane after the reconstruction, by zeros around k-space. Smoother to look at, no "
            "detail is added. Results with it are not compared with a reference.",
        )
        self.device = choice("Where a network computes. Automatic chooses the fastest one present.")
        self.warnings = Paragraph()
        self.preview = check("Preview slice")
        self.routers = button("Ro&uter map")
        self.shows = choice("What to show of the slice in view. Messages count slices from 0, as the sliders do.")
        fill(self.shows, [(title, name) for name, title in MAPS.items()], ProbeSettings.shows)
        self.probe = button("Show map")
        self.suggest = button("Suggest method")
        self.run = button("&Run")
        self.cancel = button("Cancel")
        self.bar = progress_bar()
        self.status = Paragraph()
        self.copy = CopyButton("Cop&y as command")
        self.segment = button("Se&gment result")
        self.hint = Paragraph()

    def methods(self) -> list[str]:
        """Methods that can be chosen for the data by their names."""
        entries = [i for i in range(self.method.count()) if can_choose(self.method, i)]
        return [self.method.itemData(i) for i in entries if self.method.itemData(i) != AUTO]

    def _lay_out(self) -> None:
        self.stack(
            self.rows(
                ("&Data", self.source, self.source),
                ("File", self.path, beside(self.path, self.browse)),
                ("A&xes", self.axes, self.axes),
                ("", self.conjugate, self.conjugate),
                ("Frames", self.frames, beside(self.frames, self.together)),
            ),
            self.facts,
            None,
            self.rows(
                ("&Mask", self.mask_kind, self.mask_kind),
                ("&Acceleration", self.acceleration, self.acceleration),
                ("Centre share", self.centre, self.centre),
                ("Seed", self.seed, self.seed),
                ("Phase encoding", self.direction, self.direction),
            ),
            self.read_out,
            beside(self.view, self.load, self.save_mask),
            None,
            self.rows(
                ("M&ethod", self.method, beside(self.method, self.card)),
                ("Strength", self.strength, self.strength),
                ("Steps", self.iterations, self.iterations),
                ("Co&nsistency", self.consistency, beside(self.consistency, self.weight)),
                ("Partial Fourier", self.partial, self.partial),
                ("Gibbs filter", self.gibbs, beside(self.gibbs, self.interpolate)),
                ("Device", self.device, self.device),
            ),
            self.warnings,
            None,
            self.rows(("Map", self.shows, beside(self.shows, self.probe))),
            beside(self.preview, self.routers, self.suggest),
            beside(self.run, self.cancel),
            self.bar,
            self.status,
            beside(self.segment, self.copy),
            self.hint,
        )

    def offer_centre(self) -> None:
        """Put in the usual share for the acceleration, unless the person chose one."""
        if not self._chosen_centre:
            heavy = self.mask_kind.currentData() == "center_heavy"
            self.centre.blockSignals(True)
            self.centre.setValue(_HEAVY if heavy else _CENTRE / self.acceleration.value())
            self.centre.blockSignals(False)

    def forget_centre(self) -> None:
        """Another kind of mask was chosen, for which the share means something else."""
        self._chosen_centre = False
        self.offer_centre()

    def _centre_chosen(self) -> None:
        self._chosen_centre = True

    def sampling(self) -> Sampling | None:
        """The rules for the mask; None where a mask is there already.

        Raises
        ------
        SettingsError
            If they cannot be met.
        """
        kind, seed = self.mask_kind.currentData(), self.seed.text().strip()
        if kind not in KINDS:
            return None
        if seed and not seed.isdecimal():
            raise SettingsError(f"The seed is '{seed}'; expected a whole number from 0 up, or nothing.")
        return Sampling(
            kind,
            self.acceleration.value(),
            self.centre.value(),
            int(seed) if seed else None,
            direction=self.direction.currentData(),
        )
