"""The training loop: it learns, and an interruption leaves no trace in the result."""

import errno
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from napari_medseg import files, io, models
from napari_medseg.errors import FileError, JobError, MedsegError, SettingsError
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.record import Record, file_hash
from napari_medseg.training import loop, segmentation, views
from napari_medseg.training.augment import Augment
from napari_medseg.training.data.sources import Source
from napari_medseg.training.loop import train_job
from napari_medseg.training.planning import plan
from napari_medseg.training.run_folder import process
from napari_medseg.training.settings import Phase, Schedule, read_settings
from napari_medseg.volume import Volume


def result(folder):
    """Everything a run leaves, without the time of day."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    best = (folder / "discs.safetensors").read_bytes(), (folder / "discs.json").read_text()
    return torch.load(folder / "last.pt", weights_only=True), [{**line, "time": 0} for line in log], best


def flat(state):
    if isinstance(state, dict):
        return {f"{key}.{inner}": value for key, part in state.items() for inner, value in flat(part).items()}
    if isinstance(state, list | tuple):
        return flat(dict(enumerate(state)))
    return {"": state}


def assert_same(folder, other):
    (last, *rest), (last_other, *rest_other) = result(folder), result(other)
    assert rest == rest_other
    last, last_other = flat(last), flat(last_other)
    assert last.keys() == last_other.keys()
    for key, value in last.items():
        equal = torch.equal(value, last_other[key]) if isinstance(value, torch.Tensor) else value == last_other[key]
        assert equal, key


def interrupt(job, steps):
    for _ in range(steps + 1):  # the first tells how many there are
        next(job)
    job.close()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"serp": 0.1},
        pytest.param({"optimizer": "adamw", "loss": "dice-mwl", "ema": 0.0, "balance": 0.5}, marks=pytest.mark.slow),
        pytest.param({"schedule": Schedule("plateau", gamma=0.5)}, marks=pytest.mark.slow),
    ],
)
def test_interrupted_and_resumed_run_ends_bit_equal(data, settings, tmp_path, changes):
    settings = settings(**changes)
    whole = tmp_path / "whole"
    run(train_job(settings, whole, root=data))
    for steps in range(1, settings.steps + 1):  # checkpoints lie at 2, 4 and 6
        parts = tmp_path / f"parts{steps}"
        interrupt(train_job(settings, parts, root=data), steps)
        torch.rand(3)  # the state of torch's own generator must not matter
        run(train_job(settings, parts, root=data))
        assert_same(whole, parts)


def test_interruption_while_files_are_written_leaves_no_trace(data, settings, tmp_path):
    settings, whole, parts = settings(), tmp_path / "whole", tmp_path / "parts"
    run(train_job(settings, whole, root=data))
    interrupt(train_job(settings, parts, root=data), 3)
    with (parts / "log.jsonl").open("a") as log:
        log.write('{"step": 4, "lo')  # killed in the middle of the next validation
    (parts / ".medseg-0123456789abcdef-last.pt").write_bytes(b"half")
    run(train_job(settings, parts, root=data))
    assert_same(whole, parts)


def test_loss_falls_and_dice_rises_on_an_easy_task(data, settings, tmp_path):
    settings = settings(
        phases=(Phase(1.0, 32, 3),), steps=60, validate_every=20, options={"channels": 8}, learning_rate=1e-2
    )
    lines = []
    card = run(train_job(settings, tmp_path / "run", root=data), lambda p: p.partial and lines.append(p.partial))
    assert [line["step"] for line in lines] == [20, 40, 60]
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert card.metrics["val"]["dice"] > 0.9
    assert card == models.load(tmp_path / "run" / "discs.safetensors").card


def test_exported_model_is_the_network_alone_and_its_card_tells_the_rest(data, settings, tmp_path):
    settings = settings(serp=0.1, test=(Source("test.npz", case="patient"),), card={"task": "discs", "objects": True})
    card = run(train_job(settings, tmp_path / "run", root=data))
    path = tmp_path / "run" / "discs.safetensors"
    published = models.to_published("litenext", models.build("litenext"))
    assert models.read_checkpoint(path).keys() == published.keys() and len(published) == 120
    loaded = models.load(path)
    assert loaded.network.mixers[0].far.conv.dilation == (2, 2)  # no tensor tells this
    assert (card.task, card.objects, card.options) == ("discs", True, settings.options)
    assert card.metrics["test"]["images"] == 4 and card.metrics["test"]["cases"] == 2
    assert json.loads((tmp_path / "run" / "discs.json").read_text())["metrics"] == card.metrics


def test_training_happens_at_the_pixel_size_of_inference(settings, discs, tmp_path, monkeypatch):
    for part, stack in zip(("images", "labels"), discs(4), strict=True):
        (tmp_path / part).mkdir()
        io.write(Volume(stack, "zyx", np.diag([2.0, 1.0, 8.0, 1.0])), tmp_path / part / "a.nii.gz")
    seen = set()

    class Recorder(Augment):
        def __call__(self, image, *rest):
            seen.add(tuple(image.shape))
            return super().__call__(image, *rest)

    monkeypatch.setattr(views, "Augment", Recorder)
    settings = settings(train=(Source("."),), val=(Source("."),), preprocess=Preprocess(spacing=2.0))
    interrupt(train_job(settings, tmp_path / "run", root=tmp_path), 2)
    assert seen == {(3, 16, 32)}


def test_without_self_embedding_the_branch_changes_nothing(data, settings, tmp_path, monkeypatch):
    # not an optimizer that divides by the gradient: where that is nearly 0, rounding would decide
    monkeypatch.setitem(loop._OPTIMIZERS, "nadam", torch.optim.SGD)
    plain, weak = (settings(serp=serp, steps=2) for serp in (0.0, 1e-12))
    run(train_job(plain, tmp_path / "plain", root=data))
    run(train_job(weak, tmp_path / "weak", root=data))
    first, second = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("plain", "weak"))
    assert "branch" not in first and second["branch"]
    for key, value in first["network"].items():
        torch.testing.assert_close(value, second["network"][key], rtol=0, atol=1e-6)


def test_teacher_follows_and_is_never_trained(data, settings, tmp_path):
    run(train_job(settings(serp=0.5, steps=2), tmp_path / "run", root=data))
    torch.manual_seed(0)
    start = models.build("litenext", channels=4, width=8).state_dict()
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    key = "mixers.0.local.conv.weight"
    teacher, student = state["branch"][f"teacher.{key}"], state["network"][key]
    assert 0 < (teacher - start[key]).abs().max() < 0.1 * (student - start[key]).abs().max()


def test_run_folder_of_other_settings_is_refused_and_kept(data, settings, tmp_path):
    folder = tmp_path / "run"
    interrupt(train_job(settings(), folder, root=data), 2)
    before = (folder / "last.pt").read_bytes(), (folder / "settings.json").read_text()
    with pytest.raises(SettingsError, match="other settings"):
        run(train_job(settings(learning_rate=1e-3), folder, root=data))
    assert before == ((folder / "last.pt").read_bytes(), (folder / "settings.json").read_text())
    run(train_job(settings(card={"task": "only a text"}), folder, root=data))  # texts do not change the weights


def test_a_run_does_not_go_on_when_a_model_that_it_looks_with_has_changed(data, settings, tmp_path, monkeypatch):
    finder = tmp_path / "finder.safetensors"
    finder.write_bytes(b"first")
    monkeypatch.setattr(loop, "looked_with", lambda card: [finder])
    interrupt(train_job(settings(), tmp_path / "run", root=data), 2)
    finder.write_bytes(b"second")
    with pytest.raises(SettingsError, match=r"models have changed .*'finder.safetensors' has other content"):
        run(train_job(settings(), tmp_path / "run", root=data))


def test_a_run_does_not_go_on_with_other_data(data, settings, tmp_path):
    folder = tmp_path / "run"
    interrupt(train_job(settings(), folder, root=data), 2)
    before = (data / "train.npz").read_bytes()
    with np.load(data / "train.npz") as arrays:
        np.savez(data / "train.npz", **{**arrays, "label": arrays["label"][:, :9]})  # does not even fit
    with pytest.raises(SettingsError, match=r"data have changed since .*'train\.npz' has other content"):
        run(train_job(settings(), folder, root=data))
    (data / "train.npz").unlink()
    (data / "train.npz").write_bytes(before)  # the time does not matter
    run(train_job(settings(), folder, root=data))
    np.savez(data / "val.npz", image=np.zeros((1, 32, 32), np.uint8), label=np.ones((1, 32, 32), np.uint8))
    with pytest.raises(SettingsError, match=r"'val\.npz' has other content"):  # nor does it pass for finished
        run(train_job(settings(), folder, root=data))
    state = torch.load(folder / "last.pt", weights_only=True)
    torch.save({key: value for key, value in state.items() if key != "data"}, folder / "last.pt")
    run(train_job(settings(), folder, root=data))  # of an earlier release
    for noted in ({"files": 3}, torch.zeros(1)):
        torch.save(state | {"data": noted}, folder / "last.pt")
        with pytest.raises(FileError, match="not a checkpoint of this run"):
            run(train_job(settings(), folder, root=data))


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_damaged_checkpoint_is_refused(data, settings, tmp_path, content):
    interrupt(train_job(settings(), tmp_path / "run", root=data), 2)
    (tmp_path / "run" / "last.pt").write_bytes(content)
    with pytest.raises(FileError, match="Delete it to start again"):
        run(train_job(settings(), tmp_path / "run", root=data))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"optimizer": "lion"}, "choose one of nadam"),
        ({"loss": "focal"}, "choose one of dice-bce"),
        ({"architecture": "alexnet"}, "choose one of litenext"),
        ({"device": "abacus"}, "choose auto, cpu"),
        ({"options": {"depth": 3}}, "depth"),
        ({"train": (Source("absent.npz"),)}, "is not a data set"),
        ({"train": (Source("train.npz", select={"patient": ["nobody"]}),)}, "holds no labelled slices"),
    ],
)
def test_impossible_settings_stop_a_run_before_it_starts(data, settings, tmp_path, changes, sentence):
    with pytest.raises(MedsegError, match=sentence):
        next(train_job(settings(**changes), tmp_path / "run", root=data))


def test_run_begins_with_the_weights_of_another(data, settings, tmp_path):
    run(train_job(settings(), tmp_path / "first", root=data))
    begun = settings(start="../first/discs.safetensors", steps=1, learning_rate=1e-12, ema=0.0)
    run(train_job(begun, tmp_path / "second", root=data))
    first, second = (models.load(tmp_path / name / "discs.safetensors").network for name in ("first", "second"))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    wider = settings(start="../first/discs.safetensors", options={"channels": 8, "width": 8})
    with pytest.raises(SettingsError, match="other layers"):
        run(train_job(wider, tmp_path / "third", root=data))


def test_the_run_ends_when_nothing_gets_better(data, settings, tmp_path):
    settings = settings(learning_rate=1e-12, ema=0.0, steps=20, early_stop=2)
    lines = []
    run(train_job(settings, tmp_path / "run", root=data), lambda p: p.partial and lines.append(p.partial["step"]))
    assert lines == [2, 4, 6]


@pytest.mark.parametrize(("done", "validated"), [(0, [0]), (1, [1]), (2, [])])
def test_a_run_that_is_asked_to_stop_keeps_its_best_weights(data, settings, tmp_path, done, validated):
    job, folder = train_job(settings(), tmp_path / "run", root=data), tmp_path / "run"
    for _ in range(done + 1):
        next(job)
    (folder / "stop").touch()
    assert [step.partial["step"] for step in job] == validated
    assert models.load(folder / "discs.safetensors").card.metrics["val"]["step"] == done
    if done == 2:  # it goes on as if nothing had been
        run(train_job(settings(), folder, root=data))
        run(train_job(settings(), tmp_path / "whole", root=data))
        assert_same(tmp_path / "whole", folder)


def test_findings_are_told_before_training(data, settings, tmp_path, caplog):
    with caplog.at_level("INFO", "napari_medseg.training"):
        interrupt(train_job(settings(), tmp_path / "run", root=data), 0)
    assert "train" in caplog.text and "discs" not in caplog.text


def test_what_is_left_to_plan_is_planned_once(data, settings, tmp_path):
    given = settings(seconds=0.5, steps=1)
    interrupt(train_job(given, tmp_path / "run", root=data), 5)
    planned = read_settings(tmp_path / "run" / "settings.json")
    assert planned.seconds == 0 and planned.steps >= 20 and planned.phases == (Phase(1.0, 32, 6),)
    run(train_job(given, tmp_path / "run", root=data))
    assert read_settings(tmp_path / "run" / "settings.json") == planned


def test_mixed_precision_trains(data, settings, tmp_path):
    lines = []
    settings = settings(mixed_precision=True, deterministic=True)
    run(train_job(settings, tmp_path / "run", root=data), lambda p: p.partial and lines.append(p.partial["loss"]))
    torch.use_deterministic_algorithms(False)
    plain = []
    settings = replace(settings, mixed_precision=False, deterministic=False)
    run(train_job(settings, tmp_path / "plain", root=data), lambda p: p.partial and plain.append(p.partial["loss"]))
    assert lines != plain
    np.testing.assert_allclose(lines, plain, rtol=0.05)


def test_weights_are_not_written_over_by_other_settings(data, settings, tmp_path):
    run(train_job(settings(), tmp_path / "run", root=data))
    (tmp_path / "run" / "last.pt").unlink()  # as when a model was accepted
    before = (tmp_path / "run" / "discs.safetensors").read_bytes()
    with pytest.raises(SettingsError, match="other settings"):
        run(train_job(settings(seed=1), tmp_path / "run", root=data))
    assert (tmp_path / "run" / "discs.safetensors").read_bytes() == before


def test_a_folder_that_cannot_be_written_to_gets_a_sentence(data, settings, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written to"):
        run(train_job(settings(), tmp_path / "file", root=data))
    job = train_job(settings(), tmp_path / "run", root=data)
    next(job)
    with monkeypatch.context() as full, pytest.raises(FileError, match="No space left"):
        full.setattr(torch, "save", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        run(job)
    whole = tmp_path / "whole"
    run(train_job(settings(), whole, root=data))
    run(train_job(settings(), tmp_path / "run", root=data))
    assert_same(whole, tmp_path / "run")


def test_a_folder_where_another_process_trains_is_left_alone(data, settings, tmp_path):
    program = (
        "import sys; from pathlib import Path; from napari_medseg import files\n"
        "with files.lock(Path(sys.argv[1])): print('locked', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().startswith(b"locked")
        assert process(tmp_path / "run").pid == other.pid
        before = sorted((tmp_path / "run").iterdir())
        with pytest.raises(JobError, match=rf"Another run \(host .*, process {other.pid}, since .*\) writes to"):
            run(train_job(settings(), tmp_path / "run", root=data))
        assert sorted((tmp_path / "run").iterdir()) == before
        other.kill()
    assert process(tmp_path / "run") is None
    run(train_job(settings(), tmp_path / "run", root=data))  # it has ended
    assert files.holder(tmp_path / "run") is None


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(data, settings, tmp_path):
    with pytest.raises(SettingsError, match=r"Training diverged at step .* lower learning_rate"):
        run(train_job(settings(learning_rate=1e30, warmup_steps=0), tmp_path / "run", root=data))


def test_a_single_small_slice_is_planned_large_enough_for_batch_statistics(data, settings):
    settings = settings(train=(Source("train.npz", select={"patient": ["p0"]}),), preprocess=Preprocess(multiple=32))
    planned = plan(replace(settings, seconds=1e-3), data, torch.device("cpu"))
    assert planned.phases[0].size == 64


def test_kept_weights_are_drawn_towards_those_the_run_began_with(data, settings, tmp_path, monkeypatch):
    run(train_job(settings(steps=2), tmp_path / "base", root=data))
    old = models.load(tmp_path / "base" / "discs.safetensors").network.state_dict()
    rising = itertools.count()
    monkeypatch.setattr(segmentation.Segmentation, "score", lambda self, network: next(rising))
    changed = settings(start=str(tmp_path / "base" / "discs.safetensors"), anchor=0.75, ema=0.0, seed=1)
    run(train_job(changed, tmp_path / "run", root=data))
    kept = models.load(tmp_path / "run" / "discs.safetensors").network.state_dict()
    last = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["network"]
    for key, value in kept.items():
        torch.testing.assert_close(value, torch.lerp(last[key], old[key], 0.75), msg=key)
    assert any(not torch.equal(value, old[key]) for key, value in kept.items())


def test_a_finished_run_leaves_its_record(data, settings, tmp_path):
    card = run(train_job(settings(), tmp_path / "run", root=data))
    text = (tmp_path / "run" / "record.json").read_text()
    record = Record.from_json(json.loads(text))
    assert record.what == "train" and record.figures == card.metrics and str(tmp_path) not in text
    assert [item.role for item in record.inputs][:2] == ["data: train", "data: val"]
    assert all(len(item.sha256) == 64 and item.bytes for item in record.inputs)
    assert record.outputs[0].sha256 == file_hash(tmp_path / "run" / f"{card.name}.safetensors")
    assert record.sealed() == record and record.settings["steps"] == settings().steps


def test_a_checkpoint_with_something_else_in_it_is_refused(data, settings, tmp_path):
    folder = tmp_path / "run"
    settings = settings(steps=1, schedule=Schedule("plateau", gamma=0.5))
    run(train_job(settings, folder, root=data))
    state = torch.load(folder / "last.pt", weights_only=True)
    moments = {0: {"exp_avg": torch.zeros(7)}}
    changes = (
        {"step": "2"},
        {"step": -1},
        {"step": None},
        {"lines": 1.5},
        {"best": float("nan")},
        {"stale": True},
        {"network": []},
        {"network": {"a": 1}},
        {"optimizer": {"state": moments, "param_groups": 3}},
        {"optimizer": state["optimizer"] | {"state": moments}},
        {"optimizer": None},
        {"plateau": {"best": "high"}},
        {"plateau": 5},
    )
    for change in changes:
        torch.save(state | change, folder / "last.pt")
        with pytest.raises(FileError, match="not a checkpoint of this run"):
            run(train_job(settings, folder, root=data))


def test_validation_without_objects_keeps_the_last_weights_and_says_so(data, settings, tmp_path, caplog):
    image = np.load(data / "val.npz")["image"]
    np.savez(data / "empty.npz", image=image, label=np.zeros_like(image))
    caplog.set_level("INFO", logger="napari_medseg.training")
    short = settings(val=(Source("empty.npz"),), steps=2, validate_every=1, early_stop=1, ema=0.0)
    card = run(train_job(short, tmp_path / "run", root=data))
    assert caplog.text.count("the last weights are kept") == 1
    assert card.metrics["val"] == {"dice": None, "step": 2}
    last, lines, _ = result(tmp_path / "run")
    assert [(line["val"], line["best"]) for line in lines] == [(None, None)] * 2
    kept = models.load(tmp_path / "run" / "discs.safetensors").network.state_dict()
    assert all(torch.equal(value, last["network"][key]) for key, value in kept.items())


@pytest.mark.parametrize("values", [(0.02, 0.9), (0.0, np.nan), (-1.0, 1.0)])
def test_what_is_not_a_mask_is_refused_before_training(data, settings, tmp_path, values):
    content = dict(np.load(data / "train.npz"))
    content["label"] = np.where(content["label"] > 0, values[1], values[0]).astype(np.float32)
    np.savez(data / "train.npz", **content)
    with pytest.raises(MedsegError, match=r"mask of case .* whole numbers from 0 up"):
        run(train_job(settings(steps=1), tmp_path / "run", root=data))


def test_the_best_weights_of_stacks_are_those_with_the_best_volumes(settings, data, tmp_path):
    np.savez(data / "stack.npz", **np.load(data / "val.npz"), frame=np.array([1, 3, 5]))
    stack = Source("stack.npz", case="patient", frame="frame", stride=2)
    card = run(train_job(settings(val=(stack,), steps=1), tmp_path / "run", root=data))
    assert card.metrics["val"].keys() == {"volume_dice", "step"}
