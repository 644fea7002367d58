"""Growth is told from noise, from steps and from single outliers."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hotswap.soak.trend import MIN_SAMPLES, Bound, judge, judge_all, theil_sen, warm_up

COUNT = Bound("files", 0.01)
MEMORY = Bound("KiB", 64.0, min_samples=12)
Series = Callable[[int, random.Random], float]


def flat(_at: int, _draw: random.Random) -> float:
    return 7


def one_each(at: int, _draw: random.Random) -> float:
    return at


def one_in_twenty(at: int, _draw: random.Random) -> float:
    return at // 20


def jitter(_at: int, draw: random.Random) -> float:
    return draw.choice((5, 5, 5, 6, 7))


def one_step_up(at: int, _draw: random.Random) -> float:
    return 5 + (at > 120)


def filling_up(at: int, _draw: random.Random) -> float:
    return min(at, 15)


def noise_of_megabytes(_at: int, draw: random.Random) -> float:
    return draw.gauss(120_000, 5_000)


def noise_over_a_leak(at: int, draw: random.Random) -> float:
    return draw.gauss(120_000, 5_000) + 200 * at


def outliers(at: int, _draw: random.Random) -> float:
    return 5 + (1000 if at % 17 == 0 else 0)


@pytest.mark.parametrize(
    ("series", "bound", "grows"),
    [
        (flat, COUNT, False),
        (one_each, COUNT, True),
        (one_in_twenty, COUNT, True),
        (jitter, COUNT, False),
        (one_step_up, COUNT, False),
        (filling_up, COUNT, False),
        (outliers, COUNT, False),
        (noise_of_megabytes, MEMORY, False),
        (noise_over_a_leak, MEMORY, True),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_what_grows_is_judged_and_what_does_not_is_not(series: Series, bound: Bound, grows: bool, seed: int) -> None:
    draw = random.Random(seed)
    values = [series(at, draw) for at in range(200)]
    assert judge("it", range(200), values, bound).grows is grows


def test_noise_that_happens_to_rise_is_no_growth() -> None:
    draws = [random.Random(seed) for seed in range(10)]
    trends = [judge("it", range(20), [noise_of_megabytes(0, draw) for _ in range(20)], MEMORY) for draw in draws]
    assert any(trend.slope > trend.bound for trend in trends), "or this shows nothing"
    assert not any(trend.grows for trend in trends)


def test_what_comes_before_the_caches_are_full_is_not_looked_at() -> None:
    trend = judge("it", range(40), [*range(100, 104), *[200] * 36], COUNT)
    assert (trend.samples, trend.first, trend.last) == (36, 200, 200)


def test_the_slope_is_the_median_of_all_slopes_per_step() -> None:
    assert theil_sen([0, 10, 20, 30, 40], [0, 20, 40, 9000, 80])[0] == 2.0
    assert theil_sen([0, 1], [0, 3]) == (3.0, 3.0)


@pytest.mark.parametrize(
    ("values", "grows"), [([0, 1, 2, 3, 4], True), ([0, 1, 1, 1, 1], False), ([4, 4, 5, 4, 4], False)]
)
def test_with_few_samples_only_what_grows_at_every_step_grows(values: list[float], grows: bool) -> None:
    assert judge("it", range(5), values, COUNT).grows is grows


def test_what_is_noisy_by_nature_is_not_judged_by_few_samples() -> None:
    values = [1000.0 * at for at in range(30)]
    assert judge("it", range(30), values, MEMORY).grows
    few = judge("it", range(8), values[:8], MEMORY)
    assert (few.grows, few.judged, few.slope) == (False, False, 1000.0)


def test_the_warm_up_leaves_enough_to_judge() -> None:
    assert [warm_up(count) for count in (2, 4, 5, 10, 21, 200)] == [0, 0, 1, 1, 3, 20]
    assert 5 - warm_up(5) == MIN_SAMPLES
    with pytest.raises(ValueError, match="1 samples"):
        judge("it", [0], [0], COUNT)


def test_a_figure_that_was_not_always_there_is_left_out() -> None:
    samples = [{"a": 1.0, "b": 1.0}, {"a": 1.0}, {"a": 1.0, "b": 1.0}]
    assert [trend.what for trend in judge_all("x: ", range(3), samples, {"a": COUNT, "b": COUNT})] == ["x: a"]
