import gc
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QThreadPool
from qtpy.QtWidgets import QApplication, QWidget

from napari_medseg.errors import VolumeError
from napari_medseg.progress import Progress
from napari_medseg.widgets.kit import jobs

pytestmark = pytest.mark.smoke


@pytest.fixture
def owner(qtbot):
    return QWidget()


@pytest.fixture
def run(owner):
    """Start a job whose callbacks write into a list."""

    def drive(job, **options):
        heard = []
        worker = jobs.start(
            job,
            owner=owner,
            title="Test",
            on_step=lambda step: heard.append(step.done),
            on_done=heard.append,
            on_error=heard.append,
            on_end=lambda: heard.append("end"),
            **options,
        )
        return heard, worker

    return drive


def counting(steps, fail=None, gate=None):
    try:
        for done in range(1, steps + 1):
            yield Progress(done, steps)
            if gate is not None:
                gate.wait(5)
        if fail is not None:
            raise fail
        return "result"
    finally:
        counting.closed = True


@pytest.mark.parametrize("quiet", [True, False])
def test_steps_then_result_then_end(run, qtbot, quiet):
    heard, _ = run(counting(3), quiet=quiet)
    qtbot.waitUntil(lambda: "end" in heard)
    assert heard == [1, 2, 3, "result", "end"]


def test_job_runs_beside_the_window(run, qtbot):
    def job():
        yield Progress(0, 1)
        return threading.current_thread()

    heard, _ = run(job())
    qtbot.waitUntil(lambda: "end" in heard)
    assert heard[1] is not threading.main_thread()


def test_cancel_ends_without_result_and_closes_the_job(run, qtbot):
    gate = threading.Event()
    counting.closed = False
    heard, worker = run(counting(100, gate=gate))
    qtbot.waitUntil(lambda: heard == [1])
    worker.quit()
    gate.set()
    qtbot.waitUntil(lambda: "end" in heard and counting.closed)
    assert heard == [1, "end"], "steps that were still queued are not delivered"


def test_expected_error_is_told_in_its_words(run, qtbot):
    heard, _ = run(counting(1, VolumeError("Three axes came.")))
    qtbot.waitUntil(lambda: "end" in heard)
    assert heard == [1, "Three axes came.", "end"]


class LibraryError(ValueError):
    """What a library raises of its own."""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("CUDA error.\nCompile with more options."), "RuntimeError: CUDA error."),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device."),
        (LibraryError("Bad zip file."), "LibraryError: Bad zip file."),
        (MemoryError(), "MemoryError. Close other programs, or choose a smaller image, and try again."),
    ],
)
def test_what_the_system_or_a_library_raises_is_named_by_its_kind(run, qtbot, error, sentence):
    heard, _ = run(counting(1, error))
    qtbot.waitUntil(lambda: "end" in heard)
    assert heard == [1, f"Test failed. {sentence}", "end"]


class Panic(BaseException):
    """As libraries in Rust raise it; not an `Exception`."""


@pytest.mark.parametrize("error", [Panic("the drive is gone"), SystemExit("the drive is gone")])
def test_whatever_a_job_raises_becomes_a_sentence(run, qtbot, error):
    heard, _ = run(counting(1, error))
    qtbot.waitUntil(lambda: "end" in heard)
    assert "the drive is gone" in heard[1]


def test_a_form_that_cannot_show_a_step_hears_why_and_no_more(owner, qtbot):
    heard = []

    def show(step):
        raise KeyError("no such layer")

    options = {"on_step": show, "on_error": heard.append, "on_done": heard.append}
    jobs.start(counting(100), owner=owner, title="Test", on_end=lambda: heard.append("end"), **options)
    qtbot.waitUntil(lambda: "end" in heard)
    assert len(heard) == 2 and heard[0].startswith("Test failed. KeyError: no such layer.")


def test_a_wish_that_cannot_begin_is_named_and_the_next_one_goes_on(owner, qtbot):
    heard = []
    queue = jobs.Queue(owner, ("plan", "run"), lambda: None, heard.append)

    def fail():
        raise OSError(5, "Input/output error")

    queue.want("plan", fail)
    queue.want("run", lambda: heard.append("run"))
    qtbot.waitUntil(lambda: "run" in heard)
    assert "Input/output error" in heard[0]


@pytest.mark.parametrize("error", [KeyError("odd"), NotImplementedError("odd"), TypeError("odd")])
def test_bug_is_said_in_a_sentence_and_its_traceback_is_logged(run, qtbot, caplog, error):
    heard, _ = run(counting(1, error))
    qtbot.waitUntil(lambda: "end" in heard)
    sentence = f"Test failed. {type(error).__name__}: odd. This is a bug, please report it; the log says where"
    assert heard[1].startswith(sentence) and heard[2:] == ["end"]
    assert "in counting" in caplog.text


def test_told_shows_expected_errors_only():
    seen = []
    notification_manager.notification_ready.connect(seen.append)
    try:
        with jobs.errors_shown():
            raise VolumeError("The image is empty.")
        with pytest.raises(KeyError), jobs.errors_shown():
            raise KeyError("bug")
    finally:
        notification_manager.notification_ready.disconnect(seen.append)
    assert [note.message for note in seen] == ["The image is empty."]


def test_job_of_a_form_that_is_gone_is_cancelled_unheard(run, owner, qtbot):
    gate = threading.Event()
    heard, worker = run(counting(100, gate=gate))
    qtbot.waitUntil(lambda: heard == [1])
    owner.deleteLater()
    QApplication.sendPostedEvents(owner, QEvent.Type.DeferredDelete)
    gate.set()
    qtbot.waitUntil(lambda: worker.abort_requested)
    assert QThreadPool.globalInstance().waitForDone(5000)
    QApplication.processEvents()
    assert heard == [1]


def test_a_program_that_ends_during_a_job_waits_for_it():
    program = textwrap.dedent(
        """
        import time
        from qtpy.QtWidgets import QApplication, QWidget
        from napari_medseg.widgets.kit import jobs
        application = QApplication([])
        owner = QWidget()
        begun = []
        jobs.start(jobs.once(time.sleep, 1), owner=owner, title="Test", quiet=True, on_step=begun.append)
        while not begun:
            application.processEvents()
        """
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_nothing_keeps_a_form_whose_job_has_ended(viewer, qtbot):
    form, heard = QWidget(), []
    seen = weakref.ref(form)
    jobs.start(counting(2), owner=form, title="Test", on_done=heard.append, on_end=lambda: heard.append("end"))
    qtbot.waitUntil(lambda: heard == ["result", "end"])
    QApplication.processEvents()
    del form
    gc.collect()
    assert seen() is None


def test_queue_runs_one_job_at_a_time_most_urgent_first(owner, qtbot):
    order = []
    queue = jobs.Queue(owner, ("run", "plan"), lambda: None)

    def job(name):
        def begin():
            assert not queue.kind
            queue.start(name, counting(2), title=name, quiet=True, on_done=lambda _: order.append(name))

        return begin

    for name in ("plan", "run", "plan"):
        queue.want(name, job(name))
    qtbot.waitUntil(lambda: not queue.busy)
    assert order == ["run", "plan"], "the second wish of a kind replaces the first"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (80, "80 s"), (140, "2.3 min"), (180, "3 min"), (1000, "17 min"), (7300, "2 h"), (1e6, "278 h")],
)
def test_duration_reads_well(seconds, text):
    assert jobs.duration(seconds) == text
