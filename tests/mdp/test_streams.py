"""Random streams: uniform, apart, and each environment's its own."""

import numpy as np

from reach_rl.mdp.streams import Streams

ALL = slice(None)


def test_numbers_are_uniform_within_and_across_streams() -> None:
    """Chi-square of 64 bins over 256,000 numbers of neighbouring seeds, and of one long stream."""
    for numbers in (Streams(np.arange(256)).uniform(ALL, 1000), Streams([7]).uniform(ALL, 256_000)):
        assert numbers.min() >= 0.0
        assert numbers.max() < 1.0
        observed, _ = np.histogram(numbers, bins=64, range=(0, 1))
        expected = numbers.size / 64
        chi2 = ((observed - expected) ** 2 / expected).sum()
        assert 30 < chi2 < 110  # 63 degrees of freedom: 0.01 % to 99.98 %


def test_neighbouring_seeds_and_numbers_do_not_correlate() -> None:
    """Across seeds, and from one number to the next; no number comes twice."""
    numbers = Streams(np.arange(100)).uniform(ALL, 1000)
    across = np.corrcoef(numbers)[np.triu_indices(100, 1)]
    assert np.abs(across).max() < 0.16  # 5 sigma of 1 / sqrt(1000)
    assert abs(np.corrcoef(numbers[:, :-1].ravel(), numbers[:, 1:].ravel())[0, 1]) < 0.016
    assert len(np.unique(numbers)) == numbers.size


def test_a_stream_depends_on_its_seed_alone() -> None:
    """Not on how many there are, where it stands, or how its numbers are fetched."""
    many = Streams(np.arange(50)).uniform(ALL, 12)
    few = Streams([31, 4])
    pieces = [few.uniform(np.array([0, 1]), k) for k in (1, 5, 0, 6)]
    assert (np.concatenate(pieces, axis=1) == many[[31, 4]]).all()
    assert (Streams([4, 4]).uniform(ALL, 9)[0] == Streams([4]).uniform(ALL, 9)[0]).all()


def test_only_the_asked_rows_move_on() -> None:
    streams = Streams([1, 2, 3])
    reference = Streams([1, 2, 3]).uniform(ALL, 4)
    assert (streams.uniform(np.array([2]), 2) == reference[2:, :2]).all()
    assert streams.counters.tolist() == [0, 0, 2]
    assert (streams.uniform(np.array([0, 2]), 2) == [reference[0, :2], reference[2, 2:]]).all()
    assert (streams.uniform(np.array([1]), 4) == reference[1]).all()


def test_reseed_starts_one_row_anew() -> None:
    streams = Streams([1, 2])
    streams.uniform(ALL, 5)
    streams.reseed(0, 9)
    numbers = streams.uniform(ALL, 5)
    assert (numbers[0] == Streams([9]).uniform(ALL, 5)[0]).all()
    assert (numbers[1] == Streams([2]).uniform(ALL, 10)[0, 5:]).all()


def test_symmetric_is_the_same_stream_on_both_sides_of_zero() -> None:
    numbers = Streams([5]).symmetric(ALL, 10_000)
    assert (numbers == 2.0 * Streams([5]).uniform(ALL, 10_000) - 1.0).all()
    assert -1.0 <= numbers.min() < -0.999
    assert 0.999 < numbers.max() < 1.0


def test_large_seeds() -> None:
    """Up to 2^63, as evaluation draws them."""
    numbers = Streams(np.array([2**63 - 1, 2**62])).uniform(ALL, 3)
    assert len(np.unique(numbers)) == 6
