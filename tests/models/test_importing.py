"""Checkpoints from elsewhere as models of the user."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_medseg import models
from napari_medseg.errors import FileError, ModelError, SettingsError
from napari_medseg.kspace import KSpace
from napari_medseg.models import ImportSettings, import_checkpoint, install
from napari_medseg.recon import fft2c
from napari_medseg.recon.cautions import warnings
from napari_medseg.recon.learned import restore
from napari_medseg.recon.settings import ReconSettings

# architecture, options of a small network, those of them that its tensors do not tell, size of prepared slices
SMALL = [
    ("litenext", {"kernels": (3, 3, 5, 5)}, {}, (64, 64)),
    ("swin-unet", {"levels": 1}, {"mode": "corrected"}, (256, 256)),
    ("conditional-swin-light", {"levels": 1}, {"mode": "reference"}, (256, 256)),
    ("conditional-swin-iterative", {"levels": 1}, {"mode": "corrected"}, (256, 256)),
    ("sa-lstm", {"width": 8, "levels": 1}, {"attention_size": 99}, (224, 224)),
    ("lstm-sa", {"width": 8, "levels": 1, "tokens": 14}, {"attention_size": 7744}, (224, 224)),
]
SWIN = ImportSettings("swin-unet")


@pytest.fixture
def checkpoint(fill):
    """Callable: architecture and options -> a state dictionary in the authors' key names, filled by the common rule."""

    def make(architecture, **options):
        state = models.to_published(architecture, models.build(architecture, **{"num_classes": 4, **options}))
        return {key: fill(key, v.shape) if v.is_floating_point() else 0 * v for key, v in state.items()}

    return make


@pytest.mark.parametrize(("architecture", "small", "untold", "size"), SMALL, ids=[row[0] for row in SMALL])
def test_the_stored_model_is_the_checkpoints(tmp_path, checkpoint, architecture, small, untold, size):
    state = checkpoint(architecture, **small)
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "t.pth")
    imported = import_checkpoint(tmp_path / "t.pth", "theirs", ImportSettings(architecture, **untold))
    path = install(imported.model)
    loaded = models.load(models.find("theirs"))
    assert path == models.find("theirs")
    assert loaded.card.options == loaded.network.untold and untold.items() <= loaded.card.options.items()
    assert [(row.id, row.name) for row in loaded.card.classes] == [(i, f"class {i}") for i in (1, 2, 3)]
    assert loaded.card.preprocess.padded_size((64, 64), None) == size
    assert "t.pth" in loaded.card.limits

    theirs = models.TrainedModel(loaded.card, models.from_published(architecture, state, **untold))
    shown = torch.rand(1, 9 if loaded.context else 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.logits(shown), theirs.logits(shown))


def test_what_the_file_tells_is_believed(tmp_path, checkpoint):
    """The index of the bias table says which mode wrote a Swin file; it is not stored, the mode is."""
    state = checkpoint("swin-unet")
    for mode, largest in (("reference", 112), ("corrected", 224)):
        state["bottleneck.blocks.0.attention.relative_position_index"] = torch.arange(largest + 1)
        save_file(state, tmp_path / "swin.safetensors")
        imported = import_checkpoint(tmp_path / "swin.safetensors", "swin", SWIN)
        assert imported.model.card.options == {"mode": mode}


def test_the_card_is_completed(tmp_path, checkpoint):
    torch.save(checkpoint("litenext"), tmp_path / "t.pt")
    bare = import_checkpoint(tmp_path / "t.pt", "bare", ImportSettings("litenext"))
    assert bare.waiting == ("classes", "task", "modality", "data", "licence", "spacing_mm")
    known = {"task": "heart", "modality": "MR", "licence": "CC0", "spacing_mm": (1.0, 2.0)}
    settings = ImportSettings("litenext", ("right ventricle", "muscle", "left ventricle"), **known)
    full = import_checkpoint(tmp_path / "t.pt", "full", settings)
    assert [row.name for row in full.model.card.classes] == ["right ventricle", "muscle", "left ventricle"]
    assert (full.model.card.task, full.model.card.spacing_mm) == ("heart", (1, 2))
    assert full.waiting == ("data",)

    install(full.model)
    again = import_checkpoint(models.find("full"), "again", ImportSettings(licence="mine"))
    assert (again.model.card.name, again.model.card.task, again.model.card.licence) == ("again", "heart", "mine")
    with pytest.raises(SettingsError, match="card next to it that names its network"):
        import_checkpoint(models.find("full"), "other", SWIN)


def test_what_takes_no_part_is_told(tmp_path, checkpoint):
    state = checkpoint("litenext") | {"projector.0.weight": torch.zeros(2)}
    torch.save(state, tmp_path / "t.pth")
    notes = import_checkpoint(tmp_path / "t.pth", "t", ImportSettings("litenext")).notes
    assert any("Left out 1 entries that belong to training only: projector.0.weight" in note for note in notes)
    torch.save(checkpoint("conditional-swin-light"), tmp_path / "t.pth")
    (note,) = import_checkpoint(tmp_path / "t.pth", "t", ImportSettings("conditional-swin-light")).notes
    assert "does not say whether its routers are light or iterative" in note


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (ImportSettings(), "Name its network with --architecture"),
        (ImportSettings("no"), "architecture 'no' does not exist"),
        (ImportSettings("swin-unet"), "is not a checkpoint of Swin U-Net; it looks like litenext. Import it as that"),
        (ImportSettings("litenext", mode="reference"), "LiteNeXt has no option 'mode'"),
        (ImportSettings("litenext", classes=("a", "b")), "has 3 classes"),
        (ImportSettings("litenext", classes=("a", "b", "b")), "Name each of them once"),
        (ImportSettings("litenext", spacing_mm=(2, 1)), "two rising numbers"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, checkpoint, settings, text):
    torch.save(checkpoint("litenext"), tmp_path / "t.pth")
    with pytest.raises((ModelError, SettingsError), match=text):
        import_checkpoint(tmp_path / "t.pth", "new", settings)
    assert not models.models_folder().exists()


class Hostile:
    def __reduce__(self):
        return print, ("this must not be said",)


def test_files_that_hold_no_model_are_refused(tmp_path, checkpoint, capsys):
    state, path = checkpoint("swin-unet"), tmp_path / "t.pth"
    torch.save(state, tmp_path / "whole.pth")
    for content, text in (
        ({"epoch": 3}, "holds no weights"),
        (state | {"evil": Hostile()}, "damaged, or holds more than tensors"),
        ({key: value for key, value in state.items() if key != "norm.bias"}, "missing or unknown are norm.bias"),
        (checkpoint("swin-unet", out_channels=1), "neither segments"),
        (checkpoint("swin-unet", in_channels=1), "does not take 3 channels"),
    ):
        torch.save(content, path)
        with pytest.raises(ModelError, match=text):
            import_checkpoint(path, "new", SWIN)
    path.write_bytes((tmp_path / "whole.pth").read_bytes()[:100_000])
    for missing, text in ((path, "is damaged"), (tmp_path / "nothing.pth", "cannot be read")):
        with pytest.raises(ModelError, match=text):
            import_checkpoint(missing, "new", SWIN)
    assert "must not" not in capsys.readouterr().out


def test_a_published_network_that_reconstructs_works_as_it_was_trained(tmp_path, checkpoint):
    """At 256 x 256 it sees a slice from its smallest to its largest value, and other sizes are resized."""
    torch.save(checkpoint("swin-unet", in_channels=1, out_channels=1), tmp_path / "t.pth")
    model = import_checkpoint(tmp_path / "t.pth", "mine", SWIN).model
    assert model.card.design == "image" and not model.card.classes and "brightness is lost" in model.card.limits
    image = np.random.default_rng(0).uniform(3, 7, (256, 256)).astype(np.float32)
    low, span = image.min(), np.ptp(image)
    with torch.inference_mode():
        expected = model.network(torch.from_numpy((image - low) / span)[None, None])[0, 0].clamp(0, 1).numpy()
    assert np.allclose(restore(model, image), expected * span + low, atol=1e-4)
    assert restore(model, image[:200, :180]).shape == (200, 180)
    kspace = KSpace(fft2c(image)[None, None].astype(np.complex64))
    assert any("does not say which masks" in note for note in warnings(kspace, ReconSettings("mine"), model.card))


def test_a_place_that_cannot_be_written_is_told(tmp_path, checkpoint, monkeypatch):
    torch.save(checkpoint("litenext"), tmp_path / "t.pth")
    model = import_checkpoint(tmp_path / "t.pth", "new", ImportSettings("litenext")).model
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(tmp_path / "t.pth"))
    with pytest.raises(FileError, match="Set NAPARI_MEDSEG_HOME"):
        install(model)
