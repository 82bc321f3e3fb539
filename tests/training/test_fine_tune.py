"""From a person's labels to a run: what was reviewed is learnt, a part of it judges, nothing else counts."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from napari_medseg import cli, files, io, models
from napari_medseg.errors import FileError, MedsegError, SettingsError
from napari_medseg.models.card import Locator
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.training.anew import Plane, preprocess
from napari_medseg.training.comparison import Comparison, verdict
from napari_medseg.training.continuing import differences
from napari_medseg.training.data.dataset import load, on_working_grid
from napari_medseg.training.fine_tune import (
    HELD_BACK,
    Annotation,
    FineTuneSettings,
    begin,
    prepare,
    prepare_folder,
    read,
    save,
)
from napari_medseg.training.forecast import Pace, last, text, view_size
from napari_medseg.training.gain import before_and_after, half_width
from napari_medseg.training.loop import train_job
from napari_medseg.training.planning import plan
from napari_medseg.training.segmentation import Segmentation
from napari_medseg.training.settings import CARD_TEXTS, read_settings
from napari_medseg.training.trial import pace_job
from napari_medseg.volume import LabelClass, Volume

CAVITY = LabelClass(1, "left-ventricular cavity", "#e64b35")
MUSCLE = LabelClass(2, "myocardium", "#4dbbd5")
MUSCLE_ALONE = replace(MUSCLE, id=1)
SETTINGS = FineTuneSettings(base="heart-locator", name="mine", classes=(CAVITY,), seconds=1, device="cpu", threads=1)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(tmp_path / "home"))


@pytest.fixture
def annotation(discs):
    """Callable: reviewed slices, labels to add -> an image of twelve slices with rings around its discs."""

    def make(reviewed, rings=False):
        image, labels = discs(12)
        if rings:
            labels[:, 2:4, 2:12] = 2
        affine = np.diag([2.74, 2.74, 8.0, 1.0])
        return Annotation("heart", Volume(image, "zyx", affine), Volume(labels, "zyx", affine), tuple(reviewed))

    return make


def slices(recipe, sources, folder):
    return load(sources, recipe.preprocess, folder, len(recipe.classes))


@pytest.mark.parametrize(
    ("reviewed", "learnt", "judging"),
    [((3, 1, 4, 7, 9), [1, 3, 7, 9], [4]), ((5, 2), [2], [5]), ((6,), [6], []), (range(12), None, [2, 7])],
)
def test_reviewed_slices_are_learnt_and_every_fifth_judges(annotation, tmp_path, reviewed, learnt, judging):
    given = annotation(reviewed)
    recipe = prepare([given], SETTINGS, tmp_path / "run")
    assert not differences(read_settings(tmp_path / "run" / "recipe.json"), recipe)
    learnt = [z for z in range(12) if z not in judging] if learnt is None else learnt
    # so few decide nothing: the best weights are those for all
    parts = [(recipe.train, learnt), (recipe.val, sorted({*learnt, *judging}))]
    for sources, expected in parts + [((HELD_BACK,), judging)] * bool(judging):
        found = slices(recipe, sources, tmp_path / "run")
        np.testing.assert_array_equal([s.labels.numpy() for s in found], given.labels.data[expected])


def test_figures_are_not_of_empty_slices_alone(annotation, tmp_path):
    given = annotation((1, 3, 4, 7, 9))
    data = given.labels.data.copy()
    data[4] = 0
    prepare([replace(given, labels=replace(given.labels, data=data))], SETTINGS, tmp_path / "run")
    recipe = read_settings(tmp_path / "run" / "recipe.json")
    (judging,) = slices(recipe, (HELD_BACK,), tmp_path / "run")
    np.testing.assert_array_equal(judging.labels, data[7])


def test_many_slices_that_are_held_back_decide(annotation, tmp_path):
    recipe = prepare([annotation(range(12)), annotation(range(12))], SETTINGS, tmp_path / "run")
    assert recipe.val == (HELD_BACK,) and len(slices(recipe, recipe.val, tmp_path / "run")) == 5


def test_a_run_begins_with_the_base_and_ends_with_a_card_and_a_comparison(annotation, tmp_path):
    recipe = prepare([annotation((1, 3, 4, 7, 9))], SETTINGS, tmp_path / "run")
    recipe = replace(recipe, seconds=0, steps=2, validate_every=1)
    lines = []
    card = run(
        train_job(recipe, tmp_path / "run", root=tmp_path / "run"), lambda p: p.partial and lines.append(p.partial)
    )
    assert [line["step"] for line in lines] == [0, 1, 2] and lines[0]["loss"] is None
    found = before_and_after(tmp_path / "run")
    best = max(line["val"] for line in lines)
    assert card.metrics["val"]["dice"] == pytest.approx(best, abs=1e-4)
    assert found.slices == 1 and found.held_back and found.before.keys() == found.after.keys() == {CAVITY.name}
    prepare([annotation((4,))], SETTINGS, tmp_path / "one")
    (tmp_path / "run" / "mine.safetensors").rename(tmp_path / "one" / "mine.safetensors")
    (tmp_path / "run" / "mine.json").rename(tmp_path / "one" / "mine.json")
    assert not before_and_after(tmp_path / "one").held_back
    figures = models.load_card(tmp_path / "one" / "mine.safetensors").metrics
    assert list(figures) == ["the slice that it learnt from"]
    base = models.load_card(models.find("heart-locator"))
    assert base.licence in card.licence and base.name in card.data and card.preprocess == base.preprocess
    assert base.appearance is not None and card.appearance is None
    said_anew = {"data", "licence", "split", "limits", "appearance"}
    assert all(getattr(card, name) == getattr(base, name) for name in {*CARD_TEXTS} - said_anew)


def test_a_class_is_added_and_the_old_one_goes_on(annotation, tmp_path):
    settings = replace(SETTINGS, classes=(CAVITY, MUSCLE))
    recipe = prepare([annotation((1, 2, 3), rings=True)], settings, tmp_path / "run")
    run(train_job(replace(recipe, seconds=0, steps=1), tmp_path / "run", root=tmp_path / "run"))
    tuned, base = (models.load(p) for p in (tmp_path / "run" / "mine.safetensors", models.find("heart-locator")))
    assert [row.name for row in tuned.card.classes] == [CAVITY.name, MUSCLE.name]
    old, new = base.network.state_dict(), tuned.network.state_dict()
    (head,) = {name for name in new if new[name].shape != old[name].shape and name.endswith("weight")}
    assert (new[head][0] - old[head][0]).abs().max() < 0.01 < (new[head][1] - old[head][0]).abs().max()
    found = before_and_after(tmp_path / "run")
    assert found.before.keys() == {CAVITY.name} and found.after.keys() == {CAVITY.name, MUSCLE.name}


@pytest.mark.parametrize(
    ("before", "after", "half", "change", "better", "worth_it"),
    [
        ({"a": 0.5}, {"a": 0.6}, 0.05, 0.1, True, True),
        ({"a": 0.5}, {"a": 0.6}, 0.15, 0.1, False, False),
        ({"a": 0.5}, {"a": 0.6}, float("nan"), 0.1, False, False),
        ({"a": 0.5}, {"a": 0.5}, 0.0, 0.0, False, False),
        ({"a": 0.5}, {"a": 0.495, "b": 0.9}, 0.1, -0.005, False, True),
        ({"a": 0.5}, {"a": 0.4, "b": 0.9}, 0.05, -0.1, False, False),
        ({"a": 0.5, "b": None}, {"a": 0.6, "b": 0.2}, 0.05, 0.1, True, True),
        ({}, {"b": 0.9}, float("nan"), None, False, True),
        ({"a": None}, {"a": None}, float("nan"), None, False, False),
    ],
)
def test_better_is_said_only_beyond_chance(before, after, half, change, better, worth_it):
    found = Comparison(before, after, 3, half_width=half)
    assert found.change == (None if change is None else pytest.approx(change))
    assert (found.better, found.worth_it) == (better, worth_it)


def test_the_interval_of_a_gain_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    before = rng.random((7, 1))
    after = before + 0.03 + 0.02 * rng.standard_normal((7, 1))
    test = stats.ttest_rel(after[:, 0], before[:, 0]).confidence_interval(0.98)
    assert half_width(before, after) == pytest.approx((test.high - test.low) / 2)
    two = np.hstack([before, before[::-1]]), np.hstack([after, after])
    mean = stats.ttest_rel(two[1].mean(1), two[0].mean(1)).confidence_interval(0.98)
    assert half_width(*two) == pytest.approx((mean.high - mean.low) / 2), "of the mean of the classes"
    absent = np.full((3, 1), np.nan)
    longer = [np.vstack([each, absent]) for each in (before, after)]
    assert half_width(*longer) == pytest.approx(half_width(before, after)), "slices without the class say nothing"
    assert np.isnan(half_width(before[:1], after[:1]))


def test_one_slice_rightly_left_empty_is_no_gain_beyond_chance():
    before = np.array([[0.8], [0.8], [0.8], [0.0]])
    after = np.array([[0.8], [0.8], [0.8], [np.nan]])
    assert half_width(before, after) > 0.2, "which is the gain of the mean"


def test_card_table_and_dock_have_the_same_dice(annotation, tmp_path):
    settings = replace(SETTINGS, classes=(CAVITY, MUSCLE))
    recipe = prepare([annotation(range(12), rings=True)] * 3, settings, tmp_path / "run")
    lines = []
    job = train_job(replace(recipe, seconds=0, steps=2, validate_every=1), tmp_path / "run", root=tmp_path / "run")
    run(job, lambda step: lines.append(step.partial))
    found = before_and_after(tmp_path / "run")
    best = max(line["val"] for line in lines if line)
    assert found.dice == pytest.approx(best, abs=1e-3), "the slices that chose the weights are the held-out ones"
    figures = models.load_card(tmp_path / "run" / "mine.safetensors").metrics
    assert list(figures) == ["held-out slices"]
    assert figures["held-out slices"]["mean of the classes"] == {"images": 7, "dice": round(found.dice, 4)}
    for name, dice in found.after.items():
        assert figures["held-out slices"]["classes"][name] == {"images": 7, "dice": round(dice, 4)}


# ---- what time buys ----


def test_a_trial_says_how_many_steps_the_run_will_take(annotation, tmp_path):
    given = annotation((1, 3, 4, 7, 9))
    settings = replace(SETTINGS, seconds=30)
    found = run(pace_job([given.image], settings))
    assert found is not None
    pace, size = found
    assert size == 128 and found == run(pace_job([given.image], settings)), "the second time it is known"
    recipe = prepare([given], settings, tmp_path / "run")
    assert last(recipe, "cpu", size) == pace and last(recipe, "cpu", 4 * size) is None
    assert last(replace(recipe, architecture="unet"), "cpu", size) is None
    planned = plan(recipe, tmp_path / "run", torch.device("cpu"), tmp_path / "run")
    assert planned.phases[0].size == size and planned.phases[0].batch == 4
    assert planned.steps == last(recipe, "cpu", size).steps(30, learnt=4, judging=5), "as a forecast would say"


def test_more_time_and_fewer_slices_buy_more_steps():
    pace = Pace(size=64, room=8, view=0.1, score=0.05, lead=2.0)
    assert pace.steps(60, learnt=8, judging=10) == int((60 - 2 - 11 * 10 * 0.05) / 0.8)
    assert pace.steps(60, learnt=20, judging=10) == pace.steps(60, learnt=8, judging=10), "as many views as fit"
    assert pace.steps(60, learnt=2, judging=2) > pace.steps(60, learnt=4, judging=2)
    assert pace.steps(600, 8, 10, size=128) == int((600 - 2 - 4 * 5.5) / 3.2)
    assert pace.steps(1, 8, 10) == 20, "so many are always taken"


def test_too_few_steps_are_warned_of():
    assert text(60, "1 min", "1 min") == "1 min is about 60 steps on this computer."
    few = text(59, "30 s", "3 min")
    assert few.startswith("⚠ 30 s is about 59 steps") and few.endswith("Choose 3 min or more.")
    assert text(20, "8 h", "").endswith("Choose a smaller model, or a faster computer.")


# ---- from nothing ----


def test_a_new_model_begins_with_nothing(annotation, tmp_path):
    settings = replace(SETTINGS, base="", classes=(MUSCLE_ALONE,))
    given = annotation((1, 3, 4, 7, 9))
    recipe = prepare([given], settings, tmp_path / "run")
    assert (recipe.architecture, recipe.start, recipe.anchor, recipe.replay) == ("litenext", "", 0.0, ())
    assert recipe.preprocess.spacing == 2.74
    run(train_job(replace(recipe, seconds=0, steps=1), tmp_path / "run", root=tmp_path / "run"))
    found = before_and_after(tmp_path / "run")
    assert found.before == {} and found.after.keys() == {MUSCLE.name} and found.change is None
    assert verdict(found, "").startswith("It began with nothing, so only the new model was measured: Dice 0.")
    card = models.load_card(tmp_path / "run" / "mine.safetensors")
    assert card.task == MUSCLE.name and "check every slice" in card.limits
    again = begin(settings, tmp_path, tmp_path / "run")
    assert again.preprocess == recipe.preprocess, "a run goes on with the pixel size that it began with"


def test_large_slices_are_learnt_smaller():
    assert preprocess(Plane((128, 100), (1.5, 1.0))).spacing == 1.5
    assert preprocess(Plane((512, 400), (0.7, 0.7))).spacing == 1.4
    assert preprocess(Plane((512, 400), None)) == preprocess(None) == Preprocess()


def test_a_new_model_learns_from_a_folder(tmp_path):
    put(tmp_path / "set", *(f"{part}/{n}.nii.gz" for part in ("images", "labels") for n in range(3)))
    recipe = prepare_folder(tmp_path / "set", replace(SETTINGS, base=""), tmp_path / "run")
    assert recipe.start == "" and recipe.preprocess.spacing == 1.0


def test_voxels_to_ignore_are_not_learnt(annotation, tmp_path):
    given = annotation((1, 2, 3))
    given.labels.data[3, :16] = 9
    recipe = prepare([given], replace(SETTINGS, ignore=9), tmp_path / "run")
    (held_back,) = slices(recipe, (HELD_BACK,), tmp_path / "run")
    np.testing.assert_array_equal(held_back.labels, np.where(given.labels.data[3] == 9, 255, given.labels.data[3]))


def test_a_folder_with_splits_is_taken_as_it_is(annotation, tmp_path):
    prepare([annotation((1, 3, 4, 7, 9))], SETTINGS, tmp_path / "first")
    recipe = prepare_folder(tmp_path / "first" / "data", SETTINGS, tmp_path / "second")
    assert len(slices(recipe, recipe.train, tmp_path / "second")) == 4
    assert len(slices(recipe, recipe.val, tmp_path / "second")) == 1
    path = tmp_path / "first" / "data" / "dataset.json"
    whole = json.loads(path.read_text())
    del whole["cases"][0]["held_back"]
    path.write_text(json.dumps(whole))
    with pytest.raises(SettingsError, match="held_back"):
        prepare_folder(tmp_path / "first" / "data", SETTINGS, tmp_path / "third")


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        io.write(Volume(np.ones((1, 8, 8), np.uint8), "zyx"), folder / name)


def test_a_folder_of_images_and_labels_is_divided(tmp_path):
    put(tmp_path / "set", *(f"{part}/{n}.nii.gz" for part in ("images", "labels") for n in range(6)))
    recipe = prepare_folder(tmp_path / "set", replace(SETTINGS, ignore=7), tmp_path / "run")
    train, val = recipe.train[0], recipe.val[0]
    assert (train.path, train.ignore) == (str(tmp_path / "set"), 7)
    assert val.select == {"case": ["2.nii.gz"]} and len(slices(recipe, recipe.train, tmp_path / "run")) == 5
    assert len(slices(recipe, recipe.val, tmp_path / "run")) == 1
    put(tmp_path / "one", "images/a.nii.gz", "labels/a.nii.gz")
    with pytest.raises(SettingsError, match="a single labelled image"):
        prepare_folder(tmp_path / "one", SETTINGS, tmp_path / "other")


@pytest.mark.parametrize("splits", [("train", "val"), ("Training", "Validation"), ("Tr", None)])
def test_folders_of_splits_are_taken_as_they_are(tmp_path, splits):
    for split in filter(None, splits):
        folders = (f"images{split}", f"labels{split}") if split == "Tr" else (f"{split}/images", f"{split}/labels")
        put(tmp_path / "set", *(f"{folder}/{n}.nii.gz" for folder in folders for n in "ab"))
    recipe = prepare_folder(tmp_path / "set", SETTINGS, tmp_path / "run")
    assert [source.split for source in (*recipe.train, *recipe.val)] == ["train", "val" if splits[1] else "train"]
    sizes = [len(slices(recipe, part, tmp_path / "run")) for part in (recipe.train, recipe.val)]
    assert sizes == ([2, 2] if splits[1] else [1, 1])


def test_the_old_data_are_rehearsed(annotation, tmp_path):
    both = replace(SETTINGS, base="litenext-heart", classes=models.load_card(models.find("litenext-heart")).classes)
    recipe = prepare([annotation((1, 3))], both, tmp_path / "run")
    found = slices(recipe, recipe.replay, tmp_path / "run")
    assert recipe.replay_share == 0.5 and len(found) == 100 and {s.spacing for s in found} == {(0.98, 0.98)}
    assert {tuple(on_working_grid(s, recipe.preprocess).labels.shape) for s in found} == {(140, 140)}
    assert {number for s in found for number in np.unique(s.labels).tolist()} == {0, 1, 2}
    recipe = prepare([annotation((1, 3))], replace(SETTINGS, replay=str(tmp_path)), tmp_path / "all")
    assert recipe.replay_share == 0.5 and recipe.replay[0].path == str(tmp_path / "sunnybrook" / "train.npz")


def test_old_data_that_do_not_hold_a_new_class_are_not_rehearsed(annotation, tmp_path):
    settings = replace(SETTINGS, classes=(CAVITY, MUSCLE))
    assert prepare([annotation((1, 3))], settings, tmp_path / "run").replay == ()
    with pytest.raises(SettingsError, match="new classes"):
        prepare([annotation((1, 3))], replace(settings, replay=str(tmp_path)), tmp_path / "other")


@pytest.mark.parametrize(
    ("reviewed", "changes", "sentence"),
    [
        ((), {}, "reviewed"),
        ((12,), {}, "12 slices"),
        ((1,), {"name": "litenext-heart"}, "already"),
        ((1,), {"name": "No Name"}, "not a model name"),
        ((1,), {"base": "conditional-swin-mri-dc"}, "reconstructs"),
        ((1,), {"base": "nothing"}, "does not exist"),
        ((1,), {"base": "", "replay": "old"}, "begins with nothing"),
        ((1,), {"classes": (replace(MUSCLE, id=2),)}, "1, 2, ..."),
        ((1,), {"seconds": 0}, "more than 0"),
        ((1,), {"name": "recipe"}, "other than settings, recipe"),
        ((1,), {"ignore": 1}, "neither 0 nor that of a class"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(annotation, tmp_path, reviewed, changes, sentence):
    with pytest.raises(MedsegError, match=sentence):
        prepare([annotation(reviewed)], replace(SETTINGS, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_labels_of_no_class_are_named(annotation, tmp_path):
    with pytest.raises(MedsegError, match="labels 2"):
        prepare([annotation((1,), rings=True)], SETTINGS, tmp_path / "run")


# ---- settings in a file ----


@pytest.fixture
def saved(annotation, tmp_path):
    """What the Fine-tune form saves."""
    save(tmp_path / "mine.json", [annotation((1, 3, 4, 7, 9))], SETTINGS)
    return tmp_path / "mine.json"


def test_saved_settings_prepare_the_same_run_as_the_form(saved, annotation, tmp_path):
    there = prepare([annotation((1, 3, 4, 7, 9))], SETTINGS, tmp_path / "form")
    here = begin(read(saved), tmp_path, tmp_path / "file")
    assert here == there
    for sources in (here.train, here.val):
        pairs = zip(slices(here, sources, tmp_path / "file"), slices(there, sources, tmp_path / "form"), strict=True)
        assert all(torch.equal(a.image, b.image) and torch.equal(a.labels, b.labels) for a, b in pairs)


def test_saved_settings_train_from_the_command_line(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", str(saved)]) == 0
    model = models.load(tmp_path / "runs" / "mine" / "mine.safetensors")
    assert model.card.classes == (CAVITY,) and model.card.name == "mine"
    assert cli.main(["train", str(saved)]) == 0, "the same command goes on"
    changed = replace(read(saved), seconds=2)
    with pytest.raises(SettingsError, match="a run with other settings"):
        begin(changed, tmp_path, tmp_path / "runs" / "mine")


def test_saved_settings_may_name_the_folder_of_a_data_set(annotation, tmp_path):
    prepare([annotation((1, 3, 4, 7, 9))], SETTINGS, tmp_path / "first")
    files.dump(tmp_path / "mine.json", replace(SETTINGS, data="first/data"))
    recipe = begin(read(tmp_path / "mine.json"), tmp_path, tmp_path / "run")
    assert recipe.train[0].path == str((tmp_path / "first" / "data").resolve())


def test_saved_settings_without_data_are_refused(tmp_path):
    files.dump(tmp_path / "mine.json", SETTINGS)
    with pytest.raises(SettingsError, match="do not say what to learn from"):
        begin(read(tmp_path / "mine.json"), tmp_path, tmp_path / "run")
    files.dump(tmp_path / "mine.json", {"base": "litenext-heart", "name": "mine", "classes": [{"id": 1}]})
    with pytest.raises(SettingsError, match=r"'mine\.json': classes\[0\]\.name is missing"):
        read(tmp_path / "mine.json")


def test_settings_are_not_saved_over_the_data_of_others(saved, annotation):
    with pytest.raises(FileError, match="Choose another name"):
        save(saved, [annotation((1,))], SETTINGS)
    assert read(saved).annotated[0].reviewed == (1, 3, 4, 7, 9)


def test_what_is_not_a_mask_is_refused(annotation, tmp_path):
    given = annotation((1,))
    probabilities = np.asarray(given.labels.data) * 0.9
    spoilt = replace(given, labels=replace(given.labels, data=probabilities))
    with pytest.raises(MedsegError, match="as probabilities are"):
        prepare([spoilt], SETTINGS, tmp_path / "run")


def test_numbered_objects_are_the_only_class(annotation, tmp_path):
    given = annotation((0, 1))
    numbers = np.zeros_like(given.labels.data, np.uint16)
    for number in range(40):
        y, x = divmod(number, 8)
        numbers[:2, 6 * y : 6 * y + 4, 4 * x : 4 * x + 3] = number + 1
    recipe = prepare([replace(given, labels=replace(given.labels, data=numbers))], SETTINGS, tmp_path / "run")
    learnt = slices(recipe, recipe.val, tmp_path / "run")
    assert {value for sample in learnt for value in sample.labels.unique().tolist()} <= {0, 1, 255}
    np.testing.assert_array_equal(learnt[0].labels.numpy() == 1, numbers[0] > 0)


def test_a_model_with_a_locator_is_tuned_on_the_crops_that_it_is_shown(annotation, tmp_path):
    close = models.build("litenext", num_classes=2, channels=4, width=8, dilation=2)
    locator = Locator("litenext-heart", (44.0, 44.0))
    folder = models.models_folder()
    folder.mkdir(parents=True)
    card = models.ModelCard("close", "litenext", Preprocess(spacing=2.74), (CAVITY,), locator=locator)
    models.save(folder / "close.safetensors", close, card)
    recipe = prepare([annotation((1, 3, 5, 7))], replace(SETTINGS, base="close"), tmp_path / "run")
    assert recipe.about_objects and recipe.augment.jitter > 0
    task = Segmentation(recipe, torch.device("cpu"))
    task.load(tmp_path / "run")
    assert task.card().locator == locator
    assert view_size(recipe, [Plane((64, 64), (2.74, 2.74))]) == 32, "holds the crop of 16 pixels"
    with pytest.raises(SettingsError, match="about_objects where the card has a locator"):
        replace(recipe, about_objects=False)
