"""Differential inverse kinematics of many arms at once, each in small steps to its own goal.

A step minimises |W (J dq + e)|^2 + m |W e|^2 |dq|^2 under bounds on dq: e is the twist from the
tool to the goal in the tool's frame, J its derivative by the joint angles, W the weight of position
and orientation, and m the Levenberg-Marquardt damping, which fades towards the goal. That is what
mink solves with a frame task, its joint and its speed limits, one arm after the other in Python; a
test holds the two together. The formulas of e and J are those of Sola, Deray and Atchuthan, "A
micro Lie theory for state estimation in robotics" (2018), equations 145, 163, 174 and 179 to 180.
"""

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.mdp.compiled import compiled
from reach_rl.robots import RobotModel
from reach_rl.robots.joints import lineage

CLOSE = 1e-4
"""A path ends where the weighted pose error is below this (m)."""

DAMPING = 1.0
"""Levenberg-Marquardt damping per squared error."""

NEARER = 0.95
"""Share of the way to a joint's limit that a step may go."""

_LEAST_DAMPING = 1e-12

_Floats = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BatchChain:
    """The joints that a policy moves, as screws with the arm at home; j of them, in the world."""

    order: Ints
    """(k,) those that move the tool, from the base outwards."""
    slide: Bools
    """(j,) it slides."""
    home: Array
    """(j,) home joint angles (rad)."""
    axis: Array
    """(j, 3) directions of the joint axes."""
    anchor: Array
    """(j, 3) points on them (m)."""
    tool: Array
    """(7,) position and quaternion w, x, y, z of the tool."""
    low: Array
    """(j,) least joint angles (rad)."""
    high: Array
    """(j,) greatest joint angles (rad)."""

    @classmethod
    def of(cls, robot: RobotModel) -> "BatchChain":
        """The chain of an arm; what is no joint of the policy stays as it is at home."""
        model, data = robot.model, mujoco.MjData(robot.model)
        data.qpos[:] = robot.home_qpos
        mujoco.mj_kinematics(model, data)
        joints = model.dof_jntid[robot.dof_adr]
        bodies = lineage(model, robot.tool_body)
        inside = [k for k, joint in enumerate(joints) if int(model.jnt_bodyid[joint]) in bodies]
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, data.site_xmat[robot.tcp_site])
        limited = model.jnt_limited[joints].astype(bool)
        return cls(
            order=np.array(sorted(inside, key=lambda k: joints[k]), int),
            slide=model.jnt_type[joints] == int(mujoco.mjtJoint.mjJNT_SLIDE),
            home=robot.home.astype(float),
            axis=data.xaxis[joints],
            anchor=data.xanchor[joints],
            tool=np.concatenate((data.site_xpos[robot.tcp_site], quaternion)),
            low=np.where(limited, model.jnt_range[joints, 0], -np.inf),
            high=np.where(limited, model.jnt_range[joints, 1], np.inf),
        )


def follow(
    chain: BatchChain,
    start: Array,
    goal_position: Array,
    goal_quaternion: Array,
    *,
    steps: int,
    largest: Array,
    orientation_weight: float,
) -> Array:
    """Paths to goals: joint angles before the first step and after each, (n, steps + 1, j) rad.

    A path stays where it is once the goal is reached, or where no step is within the limits.

    Args:
        chain: of the arm.
        start: (n, j) joint angles at the start (rad).
        goal_position: (n, 3) in the world (m).
        goal_quaternion: (n, 4) w, x, y, z.
        steps: how many.
        largest: (j,) greatest change of each joint in a step (rad).
        orientation_weight: metres that a radian counts as.
    """
    n, joints = start.shape
    path = np.empty((n, steps + 1, joints))
    path[:, 0] = start
    last = np.zeros(n, int)
    weight = np.repeat((1.0, orientation_weight), 3)
    rows, now = np.arange(n), start.astype(float)
    for step in range(1, steps + 1):
        error, jacobian = twist(chain, now, goal_position[rows], goal_quaternion[rows])
        error *= weight
        most = np.minimum(largest, NEARER * (chain.high - now))
        least = np.maximum(-largest, NEARER * (chain.low - now))
        squared = np.square(error).sum(axis=1)
        on = (squared >= CLOSE**2) & (least <= most).all(axis=1)
        rows, now, squared, error = rows[on], now[on], squared[on], error[on]
        if not len(rows):
            break
        jacobian = weight[:, None] * jacobian[on]
        hessian = jacobian.swapaxes(1, 2) @ jacobian
        hessian[:, range(joints), range(joints)] += (DAMPING * squared + _LEAST_DAMPING)[:, None]
        change = np.empty_like(now)
        _least_in_box(hessian, _times(error, jacobian), least[on], most[on], change)
        now = now + change
        path[rows, step], last[rows] = now, step
    kept = np.minimum(np.arange(steps + 1), last[:, None])
    return path[np.arange(n)[:, None], kept]


def _times(vectors: Array, matrices: Array) -> Array:
    return (vectors[:, None] @ matrices)[:, 0]


def twist(
    chain: BatchChain, position: Array, goal_position: Array, goal_quaternion: Array
) -> tuple[Array, Array]:
    """The twist from tool to goal in the tool's frame, and its derivative by the joint angles.

    Args:
        chain: of the arm.
        position: (n, j) joint angles (rad).
        goal_position: (n, 3) in the world (m).
        goal_quaternion: (n, 4) w, x, y, z.

    Returns:
        (n, 6) linear before angular part (m, rad), and (n, 6, j).
    """
    n, joints = position.shape
    error, jacobian = np.empty((n, 6)), np.zeros((n, 6, joints))
    c = chain
    goal = np.concatenate((goal_position, goal_quaternion), axis=1)
    _twist(position, c.home, c.order, c.slide, c.axis, c.anchor, c.tool, goal, error, jacobian)
    return error, jacobian


@compiled(
    "void(f8[:,:], f8[:], i8[:], b1[:], f8[:,:], f8[:,:], f8[:], f8[:,:], f8[:,:], f8[:,:,:])"
)
def _twist(
    position: Array,
    home: Array,
    order: Ints,
    slide: Bools,
    axis: Array,
    anchor: Array,
    tool: Array,
    goal: Array,
    error: Array,
    jacobian: Array,
) -> None:
    def plus(a: _Floats, b: _Floats) -> _Floats:
        return a[0] + b[0], a[1] + b[1], a[2] + b[2]

    def cross(a: _Floats, b: _Floats) -> _Floats:
        return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]

    def turned(q: _Floats, v: _Floats) -> _Floats:
        w, u = q[0], (q[1], q[2], q[3])
        t = cross(u, v)
        s = cross(u, t)
        return plus(v, (2.0 * (w * t[0] + s[0]), 2.0 * (w * t[1] + s[1]), 2.0 * (w * t[2] + s[2])))

    def times(p: _Floats, q: _Floats) -> _Floats:
        return (
            p[0] * q[0] - p[1] * q[1] - p[2] * q[2] - p[3] * q[3],
            p[0] * q[1] + p[1] * q[0] + p[2] * q[3] - p[3] * q[2],
            p[0] * q[2] - p[1] * q[3] + p[2] * q[0] + p[3] * q[1],
            p[0] * q[3] + p[1] * q[2] - p[2] * q[1] + p[3] * q[0],
        )

    def unturned(w: _Floats, v: _Floats, beta: float) -> _Floats:
        """The inverse left Jacobian of a rotation w times a vector v."""
        wv = cross(w, v)
        wwv = cross(w, wv)
        return (
            v[0] - 0.5 * wv[0] + beta * wwv[0],
            v[1] - 0.5 * wv[1] + beta * wwv[1],
            v[2] - 0.5 * wv[2] + beta * wwv[2],
        )

    axes, anchors, u = np.empty((len(home), 3)), np.empty((len(home), 3)), np.empty(3)
    for i in range(len(position)):
        # where the joints and the tool are
        turn, moved = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        for k in order:
            a = turned(turn, (axis[k, 0], axis[k, 1], axis[k, 2]))
            p = plus(turned(turn, (anchor[k, 0], anchor[k, 1], anchor[k, 2])), moved)
            axes[k, 0], axes[k, 1], axes[k, 2] = a
            anchors[k, 0], anchors[k, 1], anchors[k, 2] = p
            by = position[i, k] - home[k]
            if slide[k]:
                moved = plus(moved, (by * a[0], by * a[1], by * a[2]))
            else:
                s = math.sin(0.5 * by)
                here = (math.cos(0.5 * by), s * a[0], s * a[1], s * a[2])
                moved = plus(p, turned(here, (moved[0] - p[0], moved[1] - p[1], moved[2] - p[2])))
                turn = times(here, turn)
        at = plus(turned(turn, (tool[0], tool[1], tool[2])), moved)
        q = times(turn, (tool[3], tool[4], tool[5], tool[6]))
        back = (q[0], -q[1], -q[2], -q[3])

        # the goal in the tool's frame, and its logarithm
        t = turned(back, (goal[i, 0] - at[0], goal[i, 1] - at[1], goal[i, 2] - at[2]))
        r = times(back, (goal[i, 3], goal[i, 4], goal[i, 5], goal[i, 6]))
        sign = -1.0 if r[0] < 0.0 else 1.0
        sine = math.sqrt(r[1] * r[1] + r[2] * r[2] + r[3] * r[3])
        angle = 2.0 * math.atan2(sine, sign * r[0])
        scale = sign * angle / sine if sine > 1e-12 else 0.0
        w = (scale * r[1], scale * r[2], scale * r[3])
        a2 = angle * angle
        if angle > 1e-2:
            si, co = math.sin(angle), math.cos(angle)
            beta = (1.0 - 0.5 * angle * si / (1.0 - co)) / a2
            b = (angle - si) / (a2 * angle)
            c = (1.0 - 0.5 * a2 - co) / (a2 * a2)
            d4 = (2.0 * angle - 3.0 * si + angle * co) / (2.0 * a2 * a2 * angle)
        else:
            beta, b = 1.0 / 12.0 + a2 / 720.0, 1.0 / 6.0 - a2 / 120.0
            c, d4 = a2 / 720.0 - 1.0 / 24.0, 1.0 / 120.0 - a2 / 2520.0
        v = unturned(w, t, beta)
        for m in range(3):
            error[i, m], error[i, 3 + m] = v[m], w[m]

        # minus the inverse of the left Jacobian of that twist, times the tool's own Jacobian
        for k in order:
            a = (axes[k, 0], axes[k, 1], axes[k, 2])
            line, y = turned(back, a), (0.0, 0.0, 0.0)
            if not slide[k]:
                arm = (at[0] - anchors[k, 0], at[1] - anchors[k, 1], at[2] - anchors[k, 2])
                line, y = turned(back, cross(a, arm)), line
            y = unturned(w, y, beta)
            vy, wy = cross(v, y), cross(w, y)
            wvy, vwy, wwy = cross(w, vy), cross(v, wy), cross(w, wy)
            wvwy, vwwy, wwvy = cross(w, vwy), cross(v, wwy), cross(w, wvy)
            wvwwy, wwvwy = cross(w, vwwy), cross(w, wvwy)
            for m in range(3):
                u[m] = line[m] - (
                    0.5 * vy[m]
                    + b * (wvy[m] + vwy[m] + wvwy[m])
                    - c * (vwwy[m] + wwvy[m] - 3.0 * wvwy[m])
                    + d4 * (wvwwy[m] + wwvwy[m])
                )
            x = unturned(w, (u[0], u[1], u[2]), beta)
            for m in range(3):
                jacobian[i, m, k], jacobian[i, 3 + m, k] = -x[m], -y[m]


@compiled("void(f8[:,:,:], f8[:,:], f8[:,:], f8[:,:], f8[:,:])")
def _least_in_box(hessian: Array, gradient: Array, low: Array, high: Array, found: Array) -> None:
    """The x between low and high that makes x H x / 2 + g x least, by active sets."""
    size = gradient.shape[1]
    at = np.empty(size, np.int64)  # -1 at its lower bound, 1 at its upper one, 0 free
    free = np.empty(size, np.int64)
    factor, wanted = np.empty((size, size)), np.empty(size)
    for i in range(len(gradient)):
        h, g, x = hessian[i], gradient[i], found[i]
        for k in range(size):
            x[k] = min(max(0.0, low[i, k]), high[i, k])
            at[k] = (high[i, k] < 0.0) - (low[i, k] > 0.0)
        for _ in range(20 * size):
            count = 0
            for k in range(size):
                if at[k] == 0:
                    free[count] = k
                    count += 1
            # what is best with the others where they are: Cholesky
            for r in range(count):
                k = free[r]
                total = -g[k]
                for m in range(size):
                    if at[m] != 0:
                        total -= h[k, m] * x[m]
                for s in range(r):
                    value = h[k, free[s]]
                    for m in range(s):
                        value -= factor[r, m] * factor[s, m]
                    factor[r, s] = value / factor[s, s]
                    total -= factor[r, s] * wanted[s]
                value = h[k, k]
                for m in range(r):
                    value -= factor[r, m] * factor[r, m]
                factor[r, r] = math.sqrt(max(value, 1e-300))
                wanted[r] = total / factor[r, r]
            for r in range(count - 1, -1, -1):
                for s in range(r + 1, count):
                    wanted[r] -= factor[s, r] * wanted[s]
                wanted[r] /= factor[r, r]
            # as far towards it as the bounds let
            share, hit, side = 1.0, -1, 0
            for r in range(count):
                k = free[r]
                bound = high[i, k] if wanted[r] > x[k] else low[i, k]
                beyond = wanted[r] > high[i, k] or wanted[r] < low[i, k]
                if beyond and (bound - x[k]) / (wanted[r] - x[k]) < share:
                    share = (bound - x[k]) / (wanted[r] - x[k])
                    hit, side = k, 1 if wanted[r] > x[k] else -1
            for r in range(count):
                k = free[r]
                x[k] += share * (wanted[r] - x[k])
            if hit >= 0:
                x[hit] = high[i, hit] if side > 0 else low[i, hit]
                at[hit] = side
                continue
            # let go the bound that holds back most
            worst, let_go = -1e-12, -1
            for k in range(size):
                if at[k] != 0:
                    slope = g[k]
                    for m in range(size):
                        slope += h[k, m] * x[m]
                    if -at[k] * slope < worst:
                        worst, let_go = -at[k] * slope, k
            if let_go < 0:
                break
            at[let_go] = 0
