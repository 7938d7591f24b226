"""A timed block is long enough, and what came before it is thrown away."""

from __future__ import annotations

from onehop.bench.timing import timed


def test_the_timed_block_lasts_as_long_as_asked():
    """Blocks grow until one lasts long enough; a quarter of that has warmed up."""
    sizes = []

    def run(requests):
        sizes.append(requests)
        return requests * 80_000

    block = timed(run, warm_up=20, smallest=20, block_s=0.3)
    assert block.elapsed_ns >= 300_000_000
    assert block.requests == sizes[-1] < 5000
    assert block.request_us == 80
    assert sizes[0] == 20
    assert sizes[-2] * 80_000 >= 75_000_000


def test_a_slow_first_block_does_not_count():
    """The cold start is not timed, even if it lasts long enough; the block is run again."""
    durations = iter([5_000_000_000, 400_000_000])
    block = timed(lambda requests: next(durations), warm_up=20, smallest=20, block_s=0.3)
    assert block == (20, 400_000_000)


def test_a_block_that_turns_out_too_short_is_repeated():
    """A quick block after a slow warm-up is too short, so a longer one is timed."""
    blocks = []

    def run(requests):
        blocks.append(requests)
        return requests * (10_000_000 if len(blocks) == 1 else 1_000_000)

    block = timed(run, warm_up=20, smallest=20, block_s=0.3)
    assert block.elapsed_ns >= 300_000_000
    assert block.request_us == 1000
    assert len(blocks) == 3


def test_concurrency_has_a_request_for_each_client():
    """However slow the view, each client sends one request at least."""
    block = timed(lambda requests: requests * 100_000_000, warm_up=50, smallest=200, block_s=0.3)
    assert block.requests == 200
