"""The shelf that the docks of a viewer share."""

import gc
import threading
import weakref

import pytest
import torch
from napari.components import ViewerModel

from napari_medseg import models
from napari_medseg.progress import Progress, run
from napari_medseg.widgets.kit.shelf import Shelf, shelf_of


@pytest.fixture
def counted(monkeypatch):
    """Names of the models whose cards or networks were read, one list each."""
    read = {"load_card": [], "load": []}
    for name, seen in read.items():
        whole = getattr(models, name)

        def counting(path, whole=whole, seen=seen):
            seen.append(path.stem)
            return whole(path)

        monkeypatch.setattr(models, name, counting)
    return read


def filled():
    shelf = Shelf()
    run(shelf.read_job())
    return shelf


def networks(models_):
    yield Progress(0, 1)
    return models_


def test_cards_are_read_again_only_when_files_have_changed(model, own_home, counted):
    shelf = filled()
    assert "all" in shelf.cards and "conditional-swin-mri-dc" in shelf.reconstructors
    first = list(counted["load_card"])
    run(shelf.read_job())
    assert counted["load_card"] == first
    (own_home / "models" / "all.json").write_text("{}")
    run(shelf.read_job())
    assert "all" in shelf.broken and "all" not in shelf.cards


def test_networks_are_shared_and_the_ones_used_last_stay(model, counted):
    shelf = filled()
    both = [shelf.cards["all"], shelf.cards["all-objects"]]
    first = run(shelf.job(both, networks))
    other = run(shelf.job([shelf.cards["litenext-heart"]], networks))
    assert run(shelf.job(both[1:], networks)) == first[1:]
    assert counted["load"] == ["all", "all-objects", "litenext-heart"]
    for name in ("litenext-nuclei", "lstm-sa-heart", "lstm-sa-hippocampus", "conditional-swin-heart"):
        run(shelf.job([shelf.cards[name]], networks))
    seen = weakref.ref(other[0])
    del other
    gc.collect()
    assert seen() is None, "what was not used for long is freed"


def test_jobs_of_two_docks_load_a_network_once(model, counted):
    shelf = filled()
    found = []
    start = threading.Barrier(4)

    def dock():
        start.wait(20)
        found.append(run(shelf.job([shelf.cards["all"]], networks))[0])

    threads = [threading.Thread(target=dock) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counted["load"] == ["all"] and len(found) == 4 and len(set(map(id, found))) == 1


def test_a_shared_network_stays_where_it_is(model):
    trained = models.load(models.find("all"))
    assert trained.on("cpu").network is trained.network
    elsewhere = trained.on("meta")
    devices = [next(each.network.parameters()).device.type for each in (trained, elsewhere)]
    assert devices == ["cpu", "meta"]
    assert elsewhere.card is trained.card


def test_router_maps_do_not_watch_what_another_thread_does_with_the_network(monkeypatch):
    network = models.build("conditional-swin-light", levels=1).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        alone = network.router_maps(images)
        whole = type(network).forward

        def forward(self, images):
            monkeypatch.undo()
            found = whole(self, images)
            network(torch.rand(1, 3, 128, 128))  # as a run of another dock would
            return found

        monkeypatch.setattr(type(network), "forward", forward)
        beside = network.router_maps(images)
    assert alone.keys() == beside.keys()
    assert all(torch.equal(alone[name], beside[name]) for name in alone)


def test_every_viewer_has_one_shelf_which_ends_with_it():
    viewer = ViewerModel()
    same = shelf_of(viewer) is shelf_of(viewer)
    seen = weakref.ref(shelf_of(viewer))
    del viewer
    gc.collect()
    assert same and seen() is None
