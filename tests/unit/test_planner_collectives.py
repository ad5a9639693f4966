"""Alpha-beta times against measured points."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.catalog import link, links
from planner.collectives import allreduce_s, exchange_s, hop_s
from planner.constants import Constants

UNIT = Constants(link=1.0)


@pytest.mark.parametrize(("kib", "measured_us"), [(8, 28), (16, 32), (32, 40), (64, 67)])
def test_small_all_reduces_of_two_ranks_over_roce_take_what_was_measured(
    kib: int, measured_us: float
) -> None:
    predicted = allreduce_s(kib * 1024, 2, link("roce-200"), UNIT) * 1e6
    assert predicted == pytest.approx(measured_us, rel=0.1)


def test_a_small_all_reduce_of_sixteen_ranks_takes_what_was_measured() -> None:
    predicted = allreduce_s(8 * 1024, 16, link("roce-200"), UNIT) * 1e6
    assert predicted == pytest.approx(98, rel=0.2)


def test_a_gib_between_two_h200_moves_at_the_measured_rate() -> None:
    seconds = allreduce_s(2**30, 2, link("nvlink4"), UNIT)
    assert seconds * 1e6 == pytest.approx(3244.7, rel=0.01)


def test_one_rank_needs_no_all_reduce() -> None:
    assert allreduce_s(2**20, 1, link("nvlink4"), UNIT) == 0


@given(
    size=st.floats(1, 1e9),
    ranks=st.integers(2, 64),
    name=st.sampled_from(sorted(links())),
    factor=st.floats(1, 100),
)
@settings(max_examples=60)
def test_a_faster_link_is_never_slower_and_more_bytes_never_faster(
    size: float, ranks: int, name: str, factor: float
) -> None:
    slow = link(name)
    fast = slow.model_copy(update={"bandwidth_gb_s": slow.bandwidth_gb_s * factor})
    more = size * factor
    all_reduces = (
        allreduce_s(size, ranks, fast, UNIT),
        allreduce_s(size, ranks, slow, UNIT),
        allreduce_s(more, ranks, slow, UNIT),
    )
    exchanges = (
        exchange_s(size, ranks, fast, UNIT),
        exchange_s(size, ranks, slow, UNIT),
        exchange_s(more, ranks, slow, UNIT),
    )
    hops = hop_s(size, fast, UNIT), hop_s(size, slow, UNIT), hop_s(more, slow, UNIT)
    for quick, plain, long in (all_reduces, exchanges, hops):
        assert 0 < quick <= plain <= long
