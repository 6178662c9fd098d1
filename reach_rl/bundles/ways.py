"""The closed form of reach_rl.robots as operations: the nearest way in the joints to a goal."""

import numpy as np

from reach_rl.bundles.graph import DOUBLE, Graph
from reach_rl.mdp.arrays import Array
from reach_rl.mdp.state import Arm
from reach_rl.robots.family import DenavitHartenberg
from reach_rl.robots.inverse_kinematics import CHOICES, Balls, ClosedForm, link

_FAR = 1e9
"""Squared distance of a way that there is not (rad2)."""


def joint_error(
    g: Graph, form: ClosedForm, arm: Arm, joints: str, position: str, quaternion: str
) -> str:
    """As the observation term of this name, (n, 6) rad.

    Args:
        g: the graph.
        form: the arm's closed form.
        arm: the arm.
        joints: (n, 6) joint angles (rad).
        position: (n, 3) of the goal (m).
        quaternion: (n, 4) of the goal.
    """
    ways, there = solutions(g, form, position, quaternion)
    free = g.mul(there, _free(g, form.dh, form.balls, float(form.base[2, 3]), ways))
    some = g.op("ReduceMax", free, axes=[1])
    kept = g.add(free, g.mul(there, g.sub(g.constant(1.0), some)))
    now = g.reshape(joints, 0, 1, 6)
    way = g.sub(ways, now)
    whole = 2.0 * np.pi
    way = g.sub(way, g.scale(g.op("Round", g.scale(way, 1.0 / whole)), whole))
    end = g.add(now, way)
    over = g.cast(g.op("Greater", end, g.constant(arm.high)), DOUBLE)
    under = g.cast(g.op("Less", end, g.constant(arm.low)), DOUBLE)
    way = g.sub(way, g.scale(g.sub(over, under), whole))
    missing = g.scale(g.sub(g.constant(1.0), kept), _FAR)
    first = g.op("ArgMin", g.add(g.sum(g.mul(way, way), 2), missing), axis=1, keepdims=1)
    nearest = g.cast(g.op("Equal", first, g.constant(np.arange(8)[None], np.int64)), DOUBLE)
    chosen = g.mul(nearest, g.op("ReduceMax", kept, axes=[1]))
    return g.sum(g.mul(way, g.reshape(chosen, 0, 8, 1)), 1)


def solutions(g: Graph, form: ClosedForm, position: str, quaternion: str) -> tuple[str, str]:
    """The closed form's (n, 8, 6) rad, and (n, 8) 1 where there is such a way, else 0.

    As robots.inverse_kinematics.solutions. The angles may differ from those by full turns, and
    mean nothing where there is no way.
    """
    dh = form.dh
    d4, d6, a2, a3 = dh.d[3], dh.d[5], dh.a[1], dh.a[2]
    shoulder, wrist, elbow = (g.constant(choice[None]) for choice in CHOICES)
    pose = g.matmul(g.constant(form.base), _pose(g, position, quaternion))
    pose = g.matmul(pose, g.constant(np.linalg.inv(form.tool)))

    def entry(matrix: str, row: int, column: int) -> str:
        return g.take(g.take(matrix, row, -2), column, -1)

    flange = g.reshape(pose, 0, 1, 4, 4)
    x, y = (g.sub(entry(flange, i, 3), g.scale(entry(flange, i, 2), d6)) for i in (0, 1))
    span = g.op("Sqrt", g.add(g.mul(x, x), g.mul(y, y)))
    lift, there1 = _arccos(g, g.div(g.constant(d4), g.at_least(span, 1e-9)))
    q1 = g.add(g.add(g.turn(y, x), g.mul(shoulder, lift)), g.constant(np.pi / 2))
    s1, c1 = g.op("Sin", q1), g.op("Cos", q1)

    def across(column: int) -> str:
        first = g.mul(entry(flange, 0, column), s1)
        return g.sub(first, g.mul(entry(flange, 1, column), c1))

    bend, there2 = _arccos(g, g.scale(g.sub(across(3), g.constant(d4)), 1.0 / d6))
    q5 = g.mul(wrist, bend)
    sign = g.op("Sign", g.op("Sin", q5))
    q6 = g.turn(g.op("Neg", g.mul(sign, across(1))), g.mul(sign, across(0)))
    middle = g.matmul(_link(g, dh, 0, q1, back=True), flange)
    for i, q in ((5, q6), (4, q5)):
        middle = g.matmul(middle, _link(g, dh, i, q, back=True))
    u, v = (g.sub(entry(middle, i, 3), g.scale(entry(middle, i, 1), d4)) for i in (0, 1))
    square = g.add(g.mul(u, u), g.mul(v, v))
    cosine = g.scale(g.sub(square, g.constant(a2**2 + a3**2)), 1.0 / (2.0 * a2 * a3))
    bend, there3 = _arccos(g, cosine)
    q3 = g.mul(elbow, bend)
    lean = g.div(g.scale(g.op("Sin", q3), -a3), g.at_least(g.op("Sqrt", square), 1e-9))
    lean = g.clip(lean, -1.0, 1.0)
    q2 = g.sub(
        g.turn(g.op("Neg", v), g.op("Neg", u)),
        g.turn(lean, g.op("Sqrt", g.sub(g.constant(1.0), g.mul(lean, lean)))),
    )
    last = g.matmul(_link(g, dh, 1, q2, back=True), middle)
    last = g.matmul(_link(g, dh, 2, q3, back=True), last)
    q4 = g.turn(entry(last, 1, 0), entry(last, 0, 0))
    found = [g.reshape(q, 0, 8, 1) for q in (q1, q2, q3, q4, q5, q6)]
    return g.concat(found, 2), g.mul(g.mul(there1, there2), there3)


def _free(g: Graph, dh: DenavitHartenberg, balls: Balls, table: float, joints: str) -> str:
    """As ClosedForm.free: (n, 8) 1 where no balls touch, else 0."""
    frame, parts = "", []
    for i in range(6):
        turn = _link(g, dh, i, g.take(joints, i, 2))
        frame = g.matmul(frame, turn) if frame else turn
        parts.append(g.matmul(frame, g.constant(_columns(balls, i + 1))))
    fixed = g.scale(g.take(parts[0], [0], 3), 0.0)
    parts.insert(0, g.add(fixed, g.constant(_columns(balls, 0))))
    points = g.take(g.concat(parts, 3), [0, 1, 2], 2)  # (n, 8, 3, b)
    count = len(balls.link)
    squares = g.sum(g.mul(points, points), 2)
    products = g.matmul(g.op("Transpose", points, perm=[0, 1, 3, 2]), points)
    gap = g.add(g.reshape(squares, 0, 8, count, 1), g.reshape(squares, 0, 8, 1, count))
    gap = g.sub(g.sub(gap, g.scale(products, 2.0)), g.constant(balls.nearest))
    heights = g.take(points, 2, 2)
    clear = g.op("ReduceMin", g.sub(heights, g.constant(balls.lowest + table)), axes=[2])
    least = g.op("Min", g.op("ReduceMin", gap, axes=[2, 3]), g.reshape(clear, 0, 8, 1, 1))
    return g.cast(g.op("GreaterOrEqual", g.reshape(least, 0, 8), g.constant(0.0)), DOUBLE)


def _columns(balls: Balls, link: int) -> Array:
    """Centres of a link's balls as columns (4, k)."""
    centres = balls.centre[balls.link == link].T
    return np.concatenate((centres, np.ones((1, centres.shape[1]))))


def _link(g: Graph, dh: DenavitHartenberg, i: int, q: str, back: bool = False) -> str:
    """Transforms (n, 8, 4, 4) of one joint at angles (n, 8), or their inverses."""
    after = link(dh, i, np.zeros(()))
    cosine, sine, fixed = np.diag([1.0, 1.0, 0.0, 0.0]), np.zeros((4, 4)), np.diag([0.0, 0, 1, 1])
    sine[1, 0], sine[0, 1] = 1.0, -1.0
    if back:
        parts = [np.linalg.inv(after) @ part.T for part in (cosine, sine, fixed)]
    else:
        parts = [part @ after for part in (cosine, sine, fixed)]
    angle = g.reshape(q, 0, 8, 1, 1)
    moved = g.mul(g.op("Cos", angle), g.constant(parts[0]))
    moved = g.add(moved, g.mul(g.op("Sin", angle), g.constant(parts[1])))
    return g.add(moved, g.constant(parts[2]))


def _pose(g: Graph, position: str, quaternion: str) -> str:
    """Transforms (n, 4, 4) of unit quaternions (n, 4) and positions (n, 3)."""
    products = g.reshape(
        g.mul(g.reshape(quaternion, 0, 4, 1), g.reshape(quaternion, 0, 1, 4)), 0, 16
    )
    w, x, y, z = range(4)
    turn, shift = np.zeros((4, 4, 4, 4)), np.zeros((3, 4, 4))
    for a, b, c in ((x, y, z), (y, z, x), (z, x, y)):
        i, j = a - 1, b - 1
        turn[w, w, i, i] = turn[a, a, i, i] = 1.0
        turn[b, b, i, i] = turn[c, c, i, i] = -1.0
        turn[a, b, i, j] = turn[a, b, j, i] = 2.0
        turn[w, c, j, i], turn[w, c, i, j] = 2.0, -2.0
        shift[i, i, 3] = turn[a, a, 3, 3] = 1.0
    turn[w, w, 3, 3] = 1.0
    flat = g.matmul(products, g.constant(turn.reshape(16, 16)))
    flat = g.add(flat, g.matmul(position, g.constant(shift.reshape(3, 16))))
    return g.reshape(flat, 0, 4, 4)


def _arccos(g: Graph, value: str) -> tuple[str, str]:
    """The arc cosine of values clipped to -1 and 1, and 1 where they were inside, else 0."""
    inside = g.op("LessOrEqual", g.op("Abs", value), g.constant(1.0 + 1e-9))
    cosine = g.clip(value, -1.0, 1.0)
    sine = g.op("Sqrt", g.sub(g.constant(1.0), g.mul(cosine, cosine)))
    return g.turn(sine, cosine), g.cast(inside, DOUBLE)
