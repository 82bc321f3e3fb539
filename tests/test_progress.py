"""Jobs: generators that report and can be closed."""

import pytest

from napari_medseg.progress import Progress, run


def job(steps, closed):
    try:
        for done in range(1, steps + 1):
            yield Progress(done, steps, partial=done**2)
    except GeneratorExit:
        closed.append(True)
        raise
    return "result"


def test_run_returns_the_result_and_shows_every_step():
    seen = []
    assert run(job(3, []), seen.append) == "result"
    assert seen == [Progress(1, 3, 1), Progress(2, 3, 4), Progress(3, 3, 9)]
    assert run(job(0, [])) == "result"


def test_closing_a_job_ends_it():
    closed = []
    started = job(3, closed)
    next(started)
    started.close()
    assert closed == [True]


def test_errors_pass_through():
    def broken():
        yield Progress(1, 2)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run(broken())
