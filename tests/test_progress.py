"""Jobs: generators that report and can be closed."""

import math

import pytest

from napari_medseg import progress
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


class Watch:
    """A clock that is turned by hand."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def watch(monkeypatch):
    found = Watch()
    monkeypatch.setattr(progress, "time", found)
    return found


def shown(watch, steps, batch=1, expected=math.nan):
    """What is said to be left after each batch, and the truth; `steps` are the seconds of all batches."""
    remaining = progress.Remaining(expected)
    total = batch * len(steps)
    remaining.seconds(Progress(0, total))
    said = []
    for number, seconds in enumerate(steps, start=1):
        watch.now += seconds
        said.append(remaining.seconds(Progress(number * batch, total)))
    return said, [sum(steps[number:]) for number in range(1, len(steps) + 1)]


@pytest.mark.parametrize("batches", [4, 8, 40, 1000])
@pytest.mark.parametrize("first", [0, 2, 30], ids="{} s for the first one".format)
def test_a_slower_run_is_known_after_a_quarter(watch, batches, first):
    steps = [4.0 + first, *[4.0] * (batches - 1)]  # four times slower than expected
    said, truth = shown(watch, steps, batch=3, expected=batches)
    quarter = max(1, batches // 4) - 1
    if first and not quarter:
        quarter = 1  # nobody can tell a slow beginning from a slow run
    assert said[quarter] == pytest.approx(truth[quarter], rel=0.25)
    assert said[-2] == pytest.approx(truth[-2], rel=0.25)
    assert math.isnan(said[-1])


def test_a_slow_first_batch_does_not_count_where_the_time_is_expected(watch):
    said, truth = shown(watch, [5.0, *[0.1] * 99], expected=12)
    assert said[0] == pytest.approx(7)
    assert said[1:-1] == pytest.approx(truth[1:-1])


def test_a_run_that_becomes_slower_is_followed(watch):
    said, truth = shown(watch, [1.0] * 20 + [4.0] * 80)
    assert said[19] == pytest.approx(80)
    assert said[50] == pytest.approx(truth[50], rel=0.25)


def test_time_runs_down_until_the_batch_should_have_ended(watch):
    remaining = progress.Remaining()
    remaining.seconds(Progress(0, 10))
    watch.now += 2
    assert remaining.seconds(Progress(1, 10)) == pytest.approx(18)
    watch.now += 1.5
    assert remaining.seconds(Progress(1, 10)) == pytest.approx(16.5)
    watch.now += 60
    assert remaining.seconds(Progress(1, 10)) == pytest.approx(16)


def test_before_the_first_batch_the_expected_time_runs_down_and_then_nothing_is_said(watch):
    remaining = progress.Remaining(20)
    assert remaining.seconds(Progress(0, 10)) == 20
    watch.now += 15
    assert remaining.seconds(Progress(0, 10)) == 5
    watch.now += 10
    assert math.isnan(remaining.seconds(Progress(0, 10)))
    assert math.isnan(progress.Remaining().seconds(Progress(0, 10)))
    assert math.isnan(progress.Remaining().seconds(Progress(0, 0)))


def test_what_is_counted_anew_has_its_own_pace(watch):
    remaining = progress.Remaining()
    for done, total in ((0, 1), (1, 1), (0, 10), (1, 10), (2, 10)):
        watch.now += 3 if total == 10 else 100
        left = remaining.seconds(Progress(done, total))
    assert left == pytest.approx(24)


def test_long_jobs_keep_few_marks(watch):
    said, truth = shown(watch, [1.0] * 5000)
    assert said[10:-1] == pytest.approx(truth[10:-1])


def test_pace_of_unlikely_marks():
    assert math.isnan(progress.pace([]))
    assert math.isnan(progress.pace([(1.0, 1)]))
    assert progress.pace([(1.0, 5), (3.0, 5)]) == 2
