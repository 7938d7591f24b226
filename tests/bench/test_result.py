"""Medians, spreads and paired ratios are right, also when a run was interrupted."""

from __future__ import annotations

import pytest

from onehop.bench.contenders import views_of
from onehop.bench.result import ratio, result_of, value_of
from onehop.bench.run import FLOOR, Options, Record, order_of
from onehop.bench.table import plain

OPTIONS = Options(contenders=("stock", "onehop"), views=("/async/",), rounds=3, concurrencies=(50,))


def time_report(sequential_us, req_per_s):
    times = {"sequential_us": sequential_us, "req_per_s": {"50": req_per_s}, "requests": {}}
    return {"views": {"/async/": times}, "answers": {}}


def floor_report(straight_line_us):
    return {"straight_line_us": straight_line_us, "bare_hop_us": 160.0, "driver_us": 5.0, "answers": {}}


@pytest.fixture
def record():
    """Three rounds; the machine was twice as slow in the second; the third lacks onehop."""
    return Record(
        OPTIONS,
        times=[
            {"stock": time_report(3000.0, 300.0), "onehop": time_report(100.0, 9000.0)},
            {"stock": time_report(6000.0, 150.0), "onehop": time_report(200.0, 4500.0)},
            {"stock": time_report(3300.0, 330.0)},
        ],
        floors=[floor_report(80.0), floor_report(160.0), None],
    )


def test_every_second_round_runs_backwards():
    """A machine that drifts hurts the first contender as much as the last."""
    names = ("stock", "onehop", FLOOR)
    assert [order_of(index, names) for index in range(3)] == [
        ["stock", "onehop", FLOOR],
        [FLOOR, "onehop", "stock"],
        ["stock", "onehop", FLOOR],
    ]


def test_a_ratio_is_the_median_of_the_ratios_of_each_round():
    """A slow round is slow for both, so it does not change the ratio."""
    assert ratio([100.0, 900.0, 120.0], [50.0, 300.0, 60.0]) == 2.0
    assert ratio([100.0, None], [None, 50.0]) is None


def test_the_spread_is_the_distance_of_the_quartiles():
    """The quartiles of 10, 20, 30, 40, 50 are 20 and 40."""
    value = value_of([50.0, 10.0, 30.0, None, 20.0, 40.0])
    assert (value["median"], value["iqr"]) == (30.0, 20.0)
    assert value["spread"] == pytest.approx(2 / 3)
    assert value["values"] == [50.0, 10.0, 30.0, None, 20.0, 40.0]
    assert value_of([10.0])["iqr"] is None
    assert value_of([])["median"] is None


def test_rows_hold_medians_and_how_many_times_better_than_stock(record):
    """Less time is better, and so are more requests: above one means better in both columns."""
    stock, onehop = result_of(record)["rows"]
    assert [stock["contender"], onehop["contender"]] == ["stock", "onehop"]
    assert stock["sequential_us"]["median"] == 3300.0
    assert stock["sequential_us"]["vs_stock"] == stock["req_per_s"]["50"]["vs_stock"] == 1.0
    assert onehop["sequential_us"]["values"] == [100.0, 200.0, None]
    assert onehop["sequential_us"]["vs_stock"] == 30.0
    assert onehop["req_per_s"]["50"]["vs_stock"] == 30.0


def test_the_floor_is_compared_round_by_round(record):
    """Onehop takes 1.25 straight lines in both rounds, in the slow one too."""
    assert result_of(record)["floor"]["multiples"]["onehop"] == 1.25


def test_an_unquiet_machine_is_warned_about_in_one_line(record):
    """Both contenders spread over more than fifteen percent; the worst is named."""
    (warning,) = result_of(record)["warnings"]
    assert warning.startswith("2 of 2 sequential times spread over more than 15%")
    assert "stock on /async/" in warning or "onehop on /async/" in warning
    record.times = record.times[:1]
    record.floors = record.floors[:1]
    assert result_of(record)["warnings"] == []


def test_an_interrupted_run_still_prints(record):
    """What is missing is a dash, and the text says why."""
    text = plain(result_of(record))
    assert "interrupted" in text
    assert "onehop 1.25" in text
    empty = plain(result_of(Record(OPTIONS)))
    assert "Nothing was measured." in empty


def test_columns_of_the_plain_table_are_aligned(record):
    """Every line of the table has its last column at the same place."""
    lines = plain(result_of(record)).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("view"))
    assert len({len(line) for line in lines[start : start + 3]}) == 1


def test_wsgi_is_measured_on_the_page_unless_it_is_named():
    """It is the reference for ``/page/``; whoever names it gets it everywhere."""
    views = ("/sync/", "/page/")
    assert views_of("wsgi", views, named=False, built_in=True) == ("/page/",)
    assert views_of("wsgi", views, named=True, built_in=True) == views
    assert views_of("wsgi", ("/shop/",), named=False, built_in=False) == ("/shop/",)
