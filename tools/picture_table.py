"""Which script and which function make each picture of the pages: no picture without a row, no row without a picture.

``tests/test_docs_site.py`` compares this table with what the pages show. `pictures.py` makes those whose script it can
run on the samples of the package; what the others need is in their rows.
"""

from typing import NamedTuple


class Maker(NamedTuple):
    """What makes a picture.

    Parameters
    ----------
    script : str
        Path from the folder of the repository.
    function : str
        In this script, which takes the picture; ``Class.method`` for a method.
    needs : str
        What the script asks for that does not come with the package; empty if nothing.
    """

    script: str
    function: str
    needs: str = ""


HEART = Maker("tools/picture_heart.py", "heart")
RECONSTRUCT = "tools/picture_recon.py"
WALK = "tools/walk_review.py"
CLICKS = Maker("tools/walk_new_user.py", "save")
CARDS = Maker("tools/card_pictures.py", "draw")

MAKERS = {
    "docs/open.png": HEART,
    "docs/run.png": HEART,
    "docs/base.png": HEART,
    "docs/apex.png": HEART,
    "docs/correct.png": HEART,
    "docs/review.png": HEART,
    "docs/nuclei.png": Maker("tools/picture_models.py", "nuclei"),
    "docs/hippocampus.png": Maker("tools/picture_models.py", "hippocampus"),
    "docs/view.png": Maker("tools/picture_view.py", "standing"),
    "docs/view_oblique.png": Maker("tools/picture_view.py", "oblique"),
    "docs/organ.png": Maker("tools/picture_organ.py", "organ"),
    "docs/fine_tune.png": Maker("tools/picture_tuning.py", "fine_tune"),
    "docs/batch.png": Maker("tools/picture_batch.py", "batch"),
    "docs/reconstruct.png": Maker(RECONSTRUCT, "raw"),
    "docs/reconstruct_compare.png": Maker(RECONSTRUCT, "compare"),
    "docs/study.png": Maker("tools/picture_study.py", "study"),
    "docs/clicks_nifti.png": CLICKS,
    "docs/clicks_ct.png": CLICKS,
    "docs/clicks_picture.png": CLICKS,
    "docs/opening_series.png": Maker("tools/picture_series.py", "series", "a folder with several DICOM series"),
    "docs/dicom_seg.png": Maker("tools/picture_seg.py", "draw", "the readers that `make judges` installs"),
    "docs/walk_run.png": Maker(WALK, "Walk.correct_all"),
    "docs/walk_clear.png": Maker(WALK, "Walk.correct"),
    "docs/walk_extend.png": Maker(WALK, "Walk.correct"),
    "docs/walk_brush.png": Maker(WALK, "Walk.correct"),
    "docs/walk_reopened.png": Maker(WALK, "Walk.go_on"),
    "docs/walk_measure.png": Maker(WALK, "Walk.measure"),
    "docs/walk_tuned.png": Maker(WALK, "Walk.fine_tune"),
    "docs/review_order.png": Maker("benchmarks/review_order.py", "draw", "the hearts of the benchmarks"),
    "docs/review_correct.png": Maker("benchmarks/correct_hearts.py", "draw", "the hearts of the benchmarks"),
    "src/napari_medseg/weights/conditional-swin-heart.png": CARDS,
    "src/napari_medseg/weights/litenext-heart.png": CARDS,
    "src/napari_medseg/weights/litenext-hippocampus.png": CARDS,
    "src/napari_medseg/weights/litenext-nuclei.png": CARDS,
    "src/napari_medseg/weights/lstm-sa-heart.png": CARDS,
    "src/napari_medseg/weights/lstm-sa-hippocampus.png": CARDS,
}
