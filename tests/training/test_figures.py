"""Figures of a rollout against NumPy's own formulas."""

from types import SimpleNamespace

import numpy as np
import pytest

from reach_rl.training import figures


def learner(observations, flat=False, **arrays):
    filler = np.linspace(-1.0, 2.0, 12, dtype=np.float32).reshape(4, 3)
    buffer = {"values": filler, "returns": filler, "advantages": filler, **arrays}
    buffer["buffer_size"], buffer["n_envs"], size = observations.shape
    observations = observations.swapaxes(0, 1).reshape(-1, size) if flat else observations
    return SimpleNamespace(rollout_buffer=SimpleNamespace(observations=observations, **buffer))


def environments(norm_obs, size):
    statistics = SimpleNamespace(mean=np.zeros(size), var=np.ones(size))
    return SimpleNamespace(
        norm_obs=norm_obs, norm_reward=False, clip_obs=1.5, obs_rms=statistics, ret_rms=None
    )


@pytest.mark.parametrize("shape", [(24, 256, 5), (300, 1, 5), (3, 40_000, 5)])
@pytest.mark.parametrize(("norm_obs", "flat"), [(True, False), (True, True), (False, False)])
def test_observations(shape, norm_obs, flat):
    """Flat is how SB3's own update leaves the buffer."""
    rng = np.random.default_rng(0)
    mean = np.linspace(-1, 1, 5) if norm_obs else np.linspace(-3, 30, 5)
    seen = rng.normal(mean, np.geomspace(1e-3, 1, 5), shape).astype(np.float32)
    seen[..., 2] = 0.3
    if norm_obs:
        np.clip(seen, -1.5, 1.5, out=seen)
    slices = {"first": slice(0, 2), "still": slice(2, 3), "rest": slice(3, 5)}
    out = figures.learner_figures(learner(seen, flat), environments(norm_obs, 5), slices)  # type: ignore[arg-type]
    exact = seen.reshape(-1, 5).astype(float)
    deviation = exact.std(axis=0)
    for name, place in slices.items():
        found = out[f"observation/{name}"]
        assert found == pytest.approx(deviation[place].min(), rel=1e-5, abs=1e-7)
    assert out["normalizer/seen_std_max"] == pytest.approx(deviation.max(), rel=1e-5)
    assert out["normalizer/seen_mean_max"] == pytest.approx(
        np.abs(exact.mean(axis=0)).max(), rel=1e-5
    )
    assert out["observation/still"] < 1e-7  # although 0.3 is no sum of powers of two
    clipped = (np.abs(exact) >= 1.5).mean() if norm_obs else 0.0
    assert out["normalizer/clipped"] == clipped


def test_values():
    rng = np.random.default_rng(1)
    names = ("values", "returns", "advantages")
    arrays = {n: (100 + rng.normal(size=(24, 7))).astype(np.float32) for n in names}
    arrays["advantages"] -= 103
    model = learner(np.zeros((24, 7, 2), np.float32), **arrays)
    out = figures.learner_figures(model, environments(False, 2), {})  # type: ignore[arg-type]
    for name in names:
        exact = arrays[name].astype(float)
        assert out[f"train/{name[:-1]}_mean"] == pytest.approx(exact.mean(), rel=1e-5)
        assert out[f"train/{name[:-1]}_std"] == pytest.approx(exact.std(), rel=1e-5)
    assert out["train/advantage_max"] == np.abs(arrays["advantages"]).max()
