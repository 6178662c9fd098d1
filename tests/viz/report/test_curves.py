import numpy as np

from reach_rl.viz.report.curves import over_curves
from reach_rl.viz.report.subject import Curve


def test_curves_go_on_where_a_seed_has_ended():
    def ramp(last: int) -> Curve:
        steps = np.arange(0.0, last + 1.0)
        return Curve(steps, 2.0 * steps)

    band = over_curves([ramp(10), ramp(10), ramp(5)])
    assert band is not None
    steps, middle, _, high = band
    assert np.allclose(middle, 2.0 * steps)
    assert np.allclose(high, middle)
    alone = over_curves([ramp(10)])
    assert alone is not None
    assert np.isnan(alone[2]).all()


def test_gaps_are_passed_over():
    curve = Curve(np.array([0.0, 1.0, 2.0]), np.array([np.nan, 1.0, 2.0]))
    band = over_curves([curve, Curve(np.empty(0), np.empty(0))])
    assert band is not None
    assert band[1].tolist() == [1.0, 2.0]
