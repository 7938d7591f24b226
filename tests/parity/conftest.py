"""One world for all comparisons of this folder."""

import pytest

from tests.parity.world import World


@pytest.fixture(scope="module")
def world():
    with World().open() as world:
        yield world
