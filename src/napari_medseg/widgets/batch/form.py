"""The controls of the Batch dock and where they stand; what they do is in `dock.py`."""

from __future__ import annotations

from qtpy.QtWidgets import QSpinBox

from ...runs.crew import cores
from ..kit.controls import Page, Paragraph, ShortBox, beside, button, check, choice, described, fill, line, progress_bar
from .table import CaseTable

_MOST_AT_FIRST = 4  # workers: each takes memory for a model and an image
_BUTTON = 66  # pixels of the buttons next to a line


class BatchForm(Page):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = line("The images: files, a folder or a glob such as scans/*.nii.gz, several with ; between them.")
        self.files = button("Files…", "Choose image files.")
        self.folder = button("Folder…", "Choose a folder of images, of a DICOM series, or of a BIDS dataset.")
        self.suffix = line("Suffix of the images of the BIDS dataset, such as T1w. Empty for the only one.")
        self.output = line("The folder for the labels, one file for each image.")
        self.output_folder = button("Folder… ", "Choose the folder for the labels.")
        self.output_folder.setAccessibleName("Folder for the labels")
        self.reference = line(
            "A folder of labels of the same names to compare with: Dice and HD95 in the list, in the table and on the "
            "page. Empty for none."
        )
        self.reference_folder = button("Folder…  ", "Choose the folder of the reference labels.")
        self.reference_folder.setAccessibleName("Folder of the reference labels")
        self.model = choice("The model to use. Its card says what it was made for.", ShortBox)
        self.model.setMinimumContentsLength(14)  # room for the names of the bundled ones
        self.card = button("Car&d")
        self.workers = QSpinBox()
        self.workers.setRange(1, cores())
        self.workers.setValue(max(1, min(_MOST_AT_FIRST, cores() // 2)))
        described(self.workers, "Images that are worked on at once. The processor cores are shared out among them.")
        self.resume = check("R&esume", "Leave out what is finished and unchanged, and what a person has corrected.")
        self.resume.setChecked(True)
        self.uncertainty = check(
            "&Uncertainty maps", "Also write where the model was undecided; it is a further reason to look at a case."
        )
        self.found = Paragraph()
        self.run = button("&Run")
        self.cancel = button("Cancel")
        self.results = button("Open resul&ts…")
        self.copy = button("Cop&y as command")
        self.bar = progress_bar()
        self.status = Paragraph()
        self._make_list()
        self.hint = Paragraph()
        self._lay_out()

    def _make_list(self) -> None:
        self.order = choice("Order of the rows.")
        fill(self.order, [("Look here first", True), ("As the images", False)], True)
        self.counts = Paragraph()
        self.table = CaseTable("The cases, a row for each. A double click opens one.")
        self.detail = Paragraph()
        self.previous = button("Previous")
        self.next = button("&Next case")
        self.unapproved = button("Next not &approved")
        self.save = button("Save la&bels")
        self.save_table = button("Save table…")
        self.save_page = button("Save pa&ge…")
        self.open_page = button("Open page")

    def _lay_out(self) -> None:
        for narrow in (self.files, self.folder, self.output_folder, self.reference_folder):
            narrow.setFixedWidth(_BUTTON)
        self.stack(
            self.rows(
                ("&Images", self.inputs, beside(self.inputs, self.files, self.folder)),
                ("Suffi&x", self.suffix, self.suffix),
                ("&Output", self.output, beside(self.output, self.output_folder)),
                ("Reference", self.reference, beside(self.reference, self.reference_folder)),
                ("&Model", self.model, beside(self.model, self.card)),
                ("Wor&kers", self.workers, beside(self.workers, self.resume)),
            ),
            self.uncertainty,
            self.found,
            beside(self.run, self.cancel, self.copy),
            self.bar,
            self.status,
            None,
            self.rows(("Order", self.order, beside(self.order, self.results))),
            self.counts,
            self.table,
            beside(self.previous, self.next, self.unapproved),
            beside(self.save, self.save_table, self.save_page),
            self.open_page,
            self.detail,
            self.hint,
        )
