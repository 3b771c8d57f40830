"""The statistics against scipy, against counting every case, and on data whose answer is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from circuitstore.errors import UsageError
from circuitstore.statistics.bootstrap import bootstrap_interval
from circuitstore.statistics.correlation import correlations, spearman
from circuitstore.statistics.false_discovery import benjamini_hochberg
from circuitstore.statistics.rank_tests import mann_whitney, rank_biserial


def sparse(rng: np.random.Generator, features: int, count: int, share: float) -> np.ndarray:
    """Activations of features that are silent in most prompts: (feature, observation)."""
    return np.where(rng.random((features, count)) < share, rng.exponential(size=(features, count)), 0.0)


def counted(values: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """(effect, two-sided p) of one feature, by counting all pairs and all ways to choose the group."""
    differences = np.sign(values[group][:, None] - values[~group][None])
    ranks = stats.rankdata(values)
    sums = np.array(
        [ranks[list(chosen)].sum() for chosen in combinations(range(len(values)), int(group.sum()))]
    )
    observed = ranks[group].sum()
    tail = min((sums >= observed - 1e-9).mean(), (sums <= observed + 1e-9).mean())
    return differences.mean(), min(1.0, 2 * tail)


@pytest.mark.parametrize("seed", range(6))
def test_ties_are_counted_exactly(seed):
    """Effect and p of tied data agree with counting every choice of the group."""
    rng = np.random.default_rng(seed)
    values = np.stack(
        [rng.integers(0, 4, 9), np.round(sparse(rng, 1, 9, 0.4)[0], 1), rng.integers(-2, 2, 9), np.arange(9)]
    )
    groups = np.stack([rng.permutation(9) < size for size in (1, 2, 4, 7, 8)])
    effects, p = rank_biserial(values, groups), mann_whitney(values, groups)
    expected = np.array([[counted(row, group) for group in groups] for row in values])
    np.testing.assert_allclose(effects, expected[..., 0], atol=1e-12)
    np.testing.assert_allclose(p, expected[..., 1], rtol=1e-10)


def test_without_ties_p_is_scipys_exact_one():
    rng = np.random.default_rng(0)
    values, group = rng.normal(size=(5, 30)), rng.permutation(30) < 7
    expected = stats.mannwhitneyu(values[:, group], values[:, ~group], axis=1, method="exact").pvalue
    np.testing.assert_allclose(mann_whitney(values, group, exact_below=np.inf), expected, rtol=1e-10)


def test_the_normal_approximation_is_scipys():
    rng = np.random.default_rng(1)
    values, groups = np.round(rng.normal(size=(6, 80)), 1), rng.random((3, 80)) < 0.4
    p = mann_whitney(values, groups, exact_below=0)
    for i, group in enumerate(groups):
        expected = stats.mannwhitneyu(values[:, group], values[:, ~group], axis=1, method="asymptotic").pvalue
        np.testing.assert_allclose(p[:, i], expected, rtol=1e-10)


def test_rank_biserial_is_twice_auroc_minus_one():
    values, group = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True])
    assert rank_biserial(values, group) == pytest.approx(2 * 0.75 - 1)
    assert rank_biserial(values, values > 2) == 1 and rank_biserial(values, values < 3) == -1


def test_a_rare_feature_is_not_overrated():
    """Three active prompts of a hundred, all in a group of three, have p = 2 / C(100, 3).

    The normal approximation would say 1e-23.
    """
    values, group = np.zeros(100), np.arange(100) < 3
    values[group] = 1, 2, 3
    assert mann_whitney(values, group) == pytest.approx(2 * 6 / (100 * 99 * 98))
    assert mann_whitney(values, group, exact_below=0) < 1e-20


@pytest.mark.parametrize(
    ("count", "active", "size"), [(100, 40, 20), (100, 20, 50), (100, 99, 8), (200, 60, 30), (200, 30, 60)]
)
def test_the_normal_approximation_is_used_only_where_it_is_good(count, active, size):
    """Rejecting at p ≤ α happens in at most 1.1 α of the cases, also at the bound of the approximation."""
    rng = np.random.default_rng(2)
    values = np.zeros((1, count))
    values[0, :active] = 1 + np.arange(active)
    groups = np.stack([rng.permutation(count) < size for _ in range(20_000)])
    normal, exact = (
        mann_whitney(values, groups, exact_below=0)[0],
        mann_whitney(values, groups, exact_below=np.inf)[0],
    )
    for level in (0.05, 0.01, 1e-3):
        for p in (normal, exact):
            assert (p <= level).mean() <= 1.1 * level + 3 * np.sqrt(level / len(groups))


def test_degenerate_groups_and_constant_values():
    """An empty side is no test, equal values are no evidence; neither disturbs the others."""
    values = np.stack([np.ones(6), np.arange(6.0)])
    groups = np.stack([np.zeros(6, bool), np.ones(6, bool), np.arange(6) < 3])
    effects, p = rank_biserial(values, groups), mann_whitney(values, groups)
    assert np.isnan(effects[:, :2]).all() and np.isnan(p[:, :2]).all()
    np.testing.assert_allclose(effects[:, 2], [0, -1])
    np.testing.assert_allclose(p[:, 2], [1, 2 / 20])
    assert (
        rank_biserial(np.empty((0, 6)), groups).shape
        == mann_whitney(np.empty((0, 6)), groups).shape
        == (0, 3)
    )


@pytest.mark.parametrize(
    ("values", "group"),
    [
        (np.ones(3), np.ones(4, bool)),
        (np.ones(3), np.ones(3)),
        (np.ones((1, 1, 3)), np.ones(3, bool)),
        (np.full(3, np.nan), np.ones(3, bool)),
    ],
)
def test_wrong_shapes_and_nan_are_errors(values, group):
    for function in (rank_biserial, mann_whitney):
        with pytest.raises(UsageError):
            function(values, group)


def test_benjamini_hochberg_is_its_definition():
    """q_(i) = min over j >= i of p_(j) · m / j, over all tests of any shape, NaN left out."""
    p = np.random.default_rng(3).random((4, 5)) ** 3
    p[1, 2] = np.nan
    q = benjamini_hochberg(p)
    assert np.isnan(q[1, 2])
    tests = p[~np.isnan(p)]
    for index in np.argwhere(~np.isnan(p)):
        larger = np.sort(tests)[np.sort(tests) >= p[tuple(index)]]
        positions = np.searchsorted(np.sort(tests), larger) + 1
        assert q[tuple(index)] == pytest.approx(min(1.0, (larger * len(tests) / positions).min()))
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()
    with pytest.raises(UsageError):
        benjamini_hochberg(np.array([1.5]))


def test_pure_noise_gives_discoveries_in_at_most_five_percent_of_experiments():
    """With noise of all kinds and groups of all sizes, at most 5 % of experiments discover anything."""
    rng, discoveries, experiments = np.random.default_rng(4), 0, 200
    for _ in range(experiments):
        values = np.concatenate(
            [sparse(rng, 15, 60, share) for share in (0.05, 0.15, 0.4)] + [rng.integers(0, 3, (15, 60))]
        )
        groups = np.stack([rng.permutation(60) < size for size in (3, 5, 10, 20, 30)])
        discoveries += bool((benjamini_hochberg(mann_whitney(values, groups)) <= 0.05).any())
    assert discoveries / experiments <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / experiments)


def test_planted_effects_are_found_and_false_discoveries_stay_few():
    """Nearly all of twenty planted features are discovered, and at most 5 % of discoveries are false."""
    rng, false_shares, true_shares = np.random.default_rng(5), [], []
    for _ in range(40):
        values, group = sparse(rng, 200, 80, 0.3), rng.permutation(80) < 30
        values[:20] = np.where(
            group & (rng.random((20, 80)) < 0.8),
            1 + rng.random((20, 80)),
            values[:20] * (rng.random((20, 80)) < 0.3),
        )
        discovered = benjamini_hochberg(mann_whitney(values, group)) <= 0.05
        false_shares.append(discovered[20:].sum() / max(discovered.sum(), 1))
        true_shares.append(discovered[:20].mean())
    assert np.mean(true_shares) > 0.95
    assert np.mean(false_shares) <= 0.05 + 2 * np.std(false_shares) / np.sqrt(len(false_shares))


@pytest.mark.parametrize(("method", "peer"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)])
def test_correlations_are_scipys(method, peer):
    rng = np.random.default_rng(6)
    y = rng.normal(size=25)
    x = np.stack([rng.normal(size=25), np.round(y + rng.normal(size=25)), sparse(rng, 1, 25, 0.3)[0]])
    r, p = correlations(x, y, method)
    expected = [peer(row, y) for row in x]
    np.testing.assert_allclose(r, [each.statistic for each in expected])
    np.testing.assert_allclose(p, [each.pvalue for each in expected], rtol=1e-8)


def test_correlations_of_nothing_are_nan():
    constant = np.stack([np.ones(5), np.arange(5.0)])
    r, p = correlations(constant, np.arange(5.0), "spearman")
    assert np.isnan([r[0], p[0]]).all() and r[1] == pytest.approx(1)
    assert np.isnan(correlations(np.arange(5.0), np.ones(5))).all()
    assert np.isnan(correlations(np.arange(2.0), np.arange(2.0))).all()
    with pytest.raises(UsageError):
        correlations(np.ones((3, 5)), np.ones(3))
    with pytest.raises(UsageError):
        correlations(np.ones(3), np.ones(3), "kendall")


@pytest.mark.parametrize("ties", [False, True])
def test_spearman_agrees_with_scipy(ties):
    """With and without ties; NaN where it is not defined."""
    generator = np.random.default_rng(3)
    x, y = generator.integers(0, 6, (2, 40)) if ties else generator.standard_normal((2, 40))
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert np.isnan(spearman(np.ones(5), x[:5])) and np.isnan(spearman(x[:2], y[:2]))


def test_bootstrap_intervals_are_scipys_and_cover_the_mean():
    """Intervals are scipy's up to the draws; about 95 % of them hold the true mean; the seed decides."""
    rng = np.random.default_rng(7)
    values = rng.exponential(size=(3, 40))
    low, high = bootstrap_interval(values, seed=456, draws=20_000)
    peer = stats.bootstrap(
        (values,), np.mean, axis=1, n_resamples=20_000, method="percentile", rng=rng
    ).confidence_interval
    np.testing.assert_allclose([low, high], [peer.low, peer.high], atol=0.02)
    low, high = bootstrap_interval(rng.normal(size=(1000, 40)), seed=1)
    assert 0.91 <= ((low <= 0) & (high >= 0)).mean() <= 0.97
    np.testing.assert_array_equal(bootstrap_interval(values, 1), bootstrap_interval(values, 1))
    assert not np.array_equal(bootstrap_interval(values, 1), bootstrap_interval(values, 2))
    assert bootstrap_interval(values, 1, level=0.5)[0][0] > bootstrap_interval(values, 1, level=0.99)[0][0]


def test_bootstrap_of_one_observation_and_of_none():
    np.testing.assert_allclose(bootstrap_interval(np.array([[2.0], [3.0]]), 1), [[2, 3], [2, 3]])
    assert np.isnan(bootstrap_interval(np.empty((2, 0)), 1)).all()
