import json

import numpy as np
import pytest
from matplotlib.image import imread

from reach_rl.viz.plots import goals, learning_curve, smooth


def record_run(path, steps=300):
    with path.open("w") as file:
        for k in range(1, steps + 1):
            row = {"global_step": 1000 * k, "rollout/success_rate": k / steps}
            row |= {"train/approx_kl": 0.01, "train/clip_fraction": None if k == 3 else 0.1}
            row |= {"rollout/position_error_mm": 300.0 / k, "rollout/ep_rew_mean": float(k)}
            if k % 60 == 0:
                row |= {"eval/success_rate": 0.9, "eval/position_error_mm_median": 100.0 / k}
            file.write(json.dumps(row) + "\n")
        file.write('{"global_step": 30')
    return path


def colour_count(picture, colour):
    return int((np.abs(picture[..., :3] - np.asarray(colour) / 255).max(axis=-1) < 0.02).sum())


def test_the_learning_curve_shows_lines_and_healthy_bands(tmp_path):
    out = tmp_path / "curve.png"
    learning_curve(record_run(tmp_path / "metrics.jsonl"), out, "ur5e")
    picture = imread(out)
    assert picture.shape[:2] == (1500, 1500)
    assert colour_count(picture, (0, 114, 178)) > 1000
    band = 0.88 * 255 + 0.12 * np.array([0, 158, 115])
    assert colour_count(picture, band) > 10_000


@pytest.mark.parametrize("text", [None, "", '{"global_step": 1, "train/approx_kl": null}\n'])
def test_a_run_without_numbers_still_gives_a_picture(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    if text is not None:
        path.write_text(text)
    learning_curve(path, tmp_path / "curve.png")
    assert imread(tmp_path / "curve.png").std() > 0


def test_missed_goals_are_drawn_in_their_own_colour(tmp_path):
    rng = np.random.default_rng(0)
    positions = rng.uniform(-0.5, 0.5, (200, 3))
    for name, missed in (("none", 0), ("some", 40)):
        goals(positions, np.arange(200) >= missed, tmp_path / f"{name}.png", "ur5e, front")
    none, some = (imread(tmp_path / f"{name}.png") for name in ("none", "some"))
    orange = (213, 94, 0)
    # the legend carries one mark in either picture
    assert colour_count(some, orange) > 20 * colour_count(none, orange)


def test_no_goals_at_all_is_a_picture_too(tmp_path):
    goals(np.empty((0, 3)), np.empty(0), tmp_path / "goals.png")
    assert (tmp_path / "goals.png").stat().st_size > 1000


def testsmoothing_keeps_a_constant_and_passes_over_gaps():
    values = np.full(200, 2.0)
    values[50] = np.nan
    assert np.allclose(smooth(values), 2.0)


def test_drawing_leaves_no_figure_and_no_style_behind(tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    learning_curve(record_run(tmp_path / "metrics.jsonl", 20), tmp_path / "curve.png")
    assert dict(mpl.rcParams) == before
