"""Models that a table names: fetched from a server of this computer, and refused where anything is not as it says."""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from napari_medseg import cli, models
from napari_medseg.models import fetching
from napari_medseg.preprocess import Preprocess
from napari_medseg.volume import LabelClass


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The two files of a model, by ending."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("made") / "far.safetensors"
    card = models.ModelCard("far", "litenext", Preprocess(size=(64, 64)), (LabelClass(1, "organ", "#e64b35"),))
    models.save(path, models.build("litenext"), card)
    return {ending: path.with_suffix(ending).read_bytes() for ending in (".safetensors", ".json")}


@pytest.fixture
def server(made):
    """What a server gives, by path, and its address; a text in place of the content is a way to fail."""
    content = {f"/models/far{ending}": data for ending, data in made.items()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            data = content.get(self.path)
            if data is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if content.get("cut") else data)

        def log_message(self, *_):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield content, f"http://127.0.0.1:{found.server_port}/models/far.safetensors"
    found.shutdown()
    found.server_close()


@pytest.fixture
def table(tmp_path, monkeypatch, made, server):
    monkeypatch.chdir(tmp_path)

    def write(**changes):
        digests = [hashlib.sha256(made[ending]).hexdigest() for ending in (".safetensors", ".json")]
        row = {"name": "far", "url": server[1], "sha256": digests[0], "card_sha256": digests[1], **changes}
        Path("table.json").write_text(json.dumps({"models": [row]}))

    write()
    return write


def refused(capsys, *more, name="far"):
    """The sentence of a fetch that fails, and leaves nothing."""
    assert cli.main(["models", "fetch", "table.json", name, *more]) in (1, 2)
    assert not list(models.models_folder().glob("**/*")), "nothing is left"
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("napari-medseg: ")]
    assert len(said) == 1
    return said[0]


def test_a_model_is_fetched_byte_by_byte_and_works(table, made, capsys):
    assert cli.main(["models", "fetch", "table.json", "far"]) == 0
    assert "far (organ) is installed" in capsys.readouterr().out
    folder = models.models_folder()
    assert {path.suffix: path.read_bytes() for path in folder.iterdir()} == made
    assert models.load(models.find("far")).card.name == "far"
    assert cli.main(["models", "fetch", "table.json", "far"]) == 2
    assert "There is a model 'far' already" in capsys.readouterr().err


def test_without_a_network_the_files_come_from_a_folder(table, made, capsys, server):
    server[0].clear()
    Path("stick").mkdir()
    assert "'stick/far.safetensors' cannot be read" in refused(capsys, "--from", "stick")
    for ending, data in made.items():
        Path("stick", f"far{ending}").write_bytes(data)
    Path("stick/far.json").write_bytes(made[".json"].replace(b"organ", b"tumor"))
    assert "'far.json' is not the file of the table: its SHA-256 differs" in refused(capsys, "--from", "stick")
    Path("stick/far.json").write_bytes(made[".json"])
    assert cli.main(["models", "fetch", "table.json", "far", "--from", "stick"]) == 0


def test_what_does_not_arrive_whole_is_not_installed(table, server, capsys):
    content, address = server
    table(sha256="0" * 64)
    assert "'far.safetensors' is not the file of the table" in refused(capsys)
    table()
    content["cut"] = True
    assert f"'{address}' could not be fetched" in refused(capsys)
    content.clear()
    assert "could not be fetched (404" in refused(capsys)
    table(url="http://127.0.0.1:9/far.safetensors")
    assert "Try again, or get both files another way and name their folder with --from." in refused(capsys)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"url": "file:///etc/far.safetensors"}, "expected one that begins with https://"),
        ({"url": "https://example.org/far.zip"}, "ends in .safetensors"),
        ({"sha256": "ABC"}, "are not SHA-256 in small letters"),
        ({"name": "near"}, "does not name 'far'; it names near"),
    ],
)
def test_a_wrong_table_is_refused(table, capsys, changes, sentence):
    table(**changes)
    assert sentence in refused(capsys)


def test_names_lead_nowhere_else(table, capsys, made, server):
    table(name="../far")
    assert "'../far' is not a model name" in refused(capsys, name="../far")
    table(name="other")
    assert "The card of 'other' is that of 'far'" in refused(capsys, name="other")
    Path("table.json").write_text("[]")
    assert "table.json" in refused(capsys)


def test_a_download_has_an_end_and_a_name_one_meaning(table, capsys, monkeypatch, server):
    monkeypatch.setattr(fetching, "_MOST_MB", 0)
    assert "has more than 0 MB, which no model has. Nothing was installed" in refused(capsys)
    rows = json.loads(Path("table.json").read_text())["models"]
    Path("table.json").write_text(json.dumps({"models": 2 * rows}))
    assert "'table.json' names 'far' several times" in refused(capsys)


def test_without_pooch_a_sentence_says_how_to_get_it(table, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert "pip install 'napari-medseg[fetch]'" in refused(capsys)
