"""
How much a number grows in an hour, and how sure that is.

The Theil-Sen estimator: the median of the slopes of all pairs of points, which a fifth of outliers does not move. Its
interval of 95 % is Sen's, from the variance of Kendall's score. Neighbouring points depend on each other; so they
are put into a few dozen bins of equal length first, each with its median.
"""

import math
from itertools import combinations
from statistics import median
from typing import NamedTuple

BINS = 60
NEEDED = 10
"""Fewer bins tell nothing."""
Z = 1.96
HOUR_S = 3600


class Trend(NamedTuple):
    """A slope per hour, with the ends of its interval of 95 %, and the number of bins it comes from."""

    slope: float
    low: float
    high: float
    bins: int

    def __str__(self):
        return f"{self.slope:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def trend_of(points):
    """
    Return the trend of some points, or None if they are too few.

    Args:
        points: Pairs of seconds and a number, in order.
    """
    points = binned(points)
    if len(points) < NEEDED:
        return None
    slopes = sorted(
        (later - earlier) / (end_s - begin_s) * HOUR_S for (begin_s, earlier), (end_s, later) in combinations(points, 2)
    )
    count = len(points)
    reach = Z * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return Trend(median(slopes), slopes[low], slopes[high], count)


def binned(points):
    """Return at most ``BINS`` points: the medians of equal parts of the time."""
    if not points:
        return []
    begin_s, end_s = points[0][0], points[-1][0]
    width_s = (end_s - begin_s) / BINS or 1
    bins = {}
    for second, value in points:
        bins.setdefault(min(int((second - begin_s) / width_s), BINS - 1), []).append((second, value))
    return [tuple(map(median, zip(*inside, strict=True))) for inside in bins.values()]
