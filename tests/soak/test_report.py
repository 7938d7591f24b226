"""Slopes are told as they are, and only what grows for sure, and more than stock Django's, is called growing."""

import random

import pytest

from tests.soak.picture import draw
from tests.soak.report import (
    CANNOT_TELL,
    FIGURES,
    FLAT,
    GROWS,
    as_json,
    growing,
    notes_of,
    trends_of,
    unclear,
    verdict,
)
from tests.soak.run import Options, Record
from tests.soak.trend import BINS, NEEDED, Trend, binned, trend_of

MEMORY, DESCRIPTORS = FIGURES[:2]
HOUR_S = 3600


def points_of(slope, noise, count=300, seed=1):
    """Return points of half an hour that grow by a slope an hour, with normal noise."""
    chance = random.Random(seed)
    seconds = [index * HOUR_S / 2 / count for index in range(count)]
    return [(second, 60 + slope * second / HOUR_S + chance.gauss(0, noise)) for second in seconds]


@pytest.mark.parametrize("slope", [-3.0, 0.0, 0.5, 10.0])
def test_a_slope_is_found_in_noise(slope):
    trend = trend_of(points_of(slope, noise=0.3))

    assert trend.low <= slope <= trend.high
    assert trend.high - trend.low < 1.5
    assert trend.bins == BINS


def test_outliers_and_one_step_up_are_no_growth():
    """A few peaks do not move the slope; a number that goes up once does not grow."""
    peaks = [
        (second, value + (50 if index % 40 == 7 else 0)) for index, (second, value) in enumerate(points_of(0, 0.1))
    ]
    step = [(float(second), 7 if second < 300 else 8) for second in range(0, 1800, 5)]

    assert abs(trend_of(peaks).slope) < 0.2
    assert trend_of(step).low == 0


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = sum(
        (trend := trend_of(points_of(2.0, noise=0.5, count=40, seed=seed))).low <= 2.0 <= trend.high
        for seed in range(200)
    )

    assert held > 180


def test_a_few_points_have_no_trend():
    assert trend_of([]) is None
    assert trend_of(points_of(1.0, 0.1, count=NEEDED - 1)) is None
    assert trend_of(points_of(1.0, 0.1, count=NEEDED)) is not None


def test_bins_are_medians_in_order():
    points = binned([(float(second), second) for second in range(600)])

    assert len(points) == BINS
    assert points == sorted(points)


@pytest.mark.parametrize(
    ("figure", "ours", "stock", "said"),
    [
        (MEMORY, Trend(0.9, 0.1, 1.7, 60), None, FLAT),
        (MEMORY, Trend(5.0, 0.9, 9.0, 60), None, CANNOT_TELL),
        (MEMORY, Trend(5.0, 4.0, 6.0, 60), None, GROWS),
        (MEMORY, Trend(5.0, 4.0, 6.0, 60), Trend(3.0, 2.0, 4.5, 60), CANNOT_TELL),
        (MEMORY, Trend(5.0, 4.0, 6.0, 60), Trend(3.0, 2.0, 3.5, 60), GROWS),
        (MEMORY, Trend(5.0, 4.0, 6.0, 60), Trend(7.0, 2.0, 9.0, 60), FLAT),
        (MEMORY, Trend(5.0, 0.9, 9.0, 60), Trend(-9.0, -9.5, -8.5, 60), CANNOT_TELL),
        (DESCRIPTORS, Trend(0.0, 0.0, 0.0, 60), None, FLAT),
        (DESCRIPTORS, Trend(1.0, 0.2, 3.0, 60), Trend(0.0, 0.0, 0.0, 60), GROWS),
        (DESCRIPTORS, Trend(9.0, 0.0, 90.0, 60), Trend(0.0, 0.0, 0.0, 60), CANNOT_TELL),
        (DESCRIPTORS, None, None, CANNOT_TELL),
    ],
)
def test_what_is_above_the_limit_and_above_stock_is_never_called_flat(figure, ours, stock, said):
    assert verdict(figure, ours, stock) == said


@pytest.fixture
def record():
    """Return a run of half an hour in which Onehop's memory grows, and nothing else does."""
    record = Record.of(Options(30.0))
    for name, history in record.histories.items():
        for second, value in points_of(20.0 if name == "onehop" else 0.0, noise=0.3):
            history.samples.append({"s": second} | {figure.name: 5 for figure in FIGURES} | {MEMORY.name: value})
    record.elapsed_s = HOUR_S / 2
    return record


def test_a_leak_behind_the_warm_up_is_said(record):
    [said] = growing(record)

    assert said.startswith("resident memory (MB): +")
    assert as_json(record, [said])["slopes_per_hour"]["onehop"][MEMORY.name]["low"] > 15


def test_a_doubtful_growth_is_not_called_none(record):
    """Much noise leaves the memory's growth open, and no points leave all open."""
    samples = record.histories["onehop"].samples
    for sample, (_, value) in zip(samples, points_of(20.0, noise=40.0, seed=2), strict=True):
        sample[MEMORY.name] = value

    assert growing(record) == []
    [doubt] = unclear(record)
    assert doubt.startswith("resident memory (MB): +")
    *_, last = notes_of(record, [])
    assert last.endswith("1 of 7 numbers need a longer run.")
    samples.clear()
    assert len(unclear(record)) == len(FIGURES)


def test_the_warm_up_does_not_count(record):
    """The trend is that of a fifth fewer points: the first ones."""
    samples = record.histories["onehop"].samples
    behind = [(each["s"], each[MEMORY.name]) for each in samples[len(samples) // 5 :]]

    assert trends_of(record)["onehop"][MEMORY.name] == trend_of(behind)


def test_a_picture_is_drawn(record, tmp_path):
    draw(record, tmp_path / "soak.png")

    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
