"""Passes of an update, their gradient and Adam's steps, beside what PyTorch makes of the same."""

import math
import threading
import time

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from reach_rl.config.schema import Activation
from reach_rl.learning import fused_update
from reach_rl.learning.fused_update import LossTerms, Update
from reach_rl.learning.policy import bare_network
from reach_rl.learning.ppo import Networks

TERMS = LossTerms(
    clip_range=0.2,
    clip_range_vf=0.0,
    vf_coef=0.5,
    ent_coef=0.01,
    normalize_advantage=True,
    max_grad_norm=0.5,
    most_kl=math.inf,
    least_log_std=-math.inf,
)


def network(small, *overrides):
    torch.manual_seed(3)
    return bare_network(small("ppo.policy_kwargs.log_std_init=-0.4", *overrides), 20, 6)


def rollout(n=300):
    """Of a policy like ours, so that some of its ratios are clipped and some are not."""
    random = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(*shape, generator=random)

    return [draw(n, 20), 0.7 * draw(n, 6), draw(n), draw(n) - 6.5, draw(n), draw(n)]


def loss_of(policy, data, terms):
    """PPO's loss as its paper has it, by PyTorch's distributions and automatic differentiation."""
    obs, actions, old_values, old, advantages, returns = data
    values, log_prob, entropy = policy.evaluate_actions(obs, actions)
    if terms.normalize_advantage:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = (log_prob - old).exp()
    bounded = ratio.clamp(1 - terms.clip_range, 1 + terms.clip_range)
    policy_loss = -torch.min(advantages * ratio, advantages * bounded).mean()
    values = values.flatten()
    if terms.clip_range_vf:
        change = (values - old_values).clamp(-terms.clip_range_vf, terms.clip_range_vf)
        values = old_values + change
    value_loss = (returns - values).square().mean()
    return policy_loss - terms.ent_coef * entropy.mean() + terms.vf_coef * value_loss


def one_gradient(policy, data, terms=TERMS, **how):
    """What a step without a length leaves: the record, the KL divergence, and the gradient."""
    policy.optimizer.param_groups[0]["lr"] = 0.0
    with Update(policy, terms, **how) as it:
        passed = it.pass_over(data, torch.arange(len(data[0])), len(data[0]))
    slopes = [p.grad.clone() for p in policy.parameters()]
    return passed.records[0], passed.kls[0], slopes


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "leaky_relu"])
@pytest.mark.parametrize("clip_range_vf", [0.0, 0.3])
def test_it_is_the_gradient_of_ppos_loss(small, activation, clip_range_vf):
    assert activation in {a.value for a in Activation}
    policy = network(small, f"ppo.policy_kwargs.activation_fn={activation}")
    terms, data = TERMS._replace(clip_range_vf=clip_range_vf), rollout()
    loss = loss_of(policy, data, terms)
    loss.backward()
    norm = clip_grad_norm_(policy.parameters(), terms.max_grad_norm)
    assert norm > terms.max_grad_norm
    wanted = [p.grad.clone() for p in policy.parameters()]
    record, kl, slopes = one_gradient(policy, data, terms)
    for found, slope in zip(slopes, wanted, strict=True):
        torch.testing.assert_close(found, slope, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(record[4], loss.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(record[5], norm, rtol=1e-4, atol=1e-6)
    assert 0.1 < record[3] < 0.95
    assert kl > 0


def after_passes(small, passes=4, size=1500, batch=256, **how):
    """Parameters, Adam's state and what was recorded after some passes of minibatches."""
    policy, data = network(small), rollout(size)
    random = torch.Generator().manual_seed(9)
    with Update(policy, TERMS, **how) as it:
        assert it.side_by_side == how.get("side_by_side", False)
        found = [
            it.pass_over(data, torch.randperm(size, generator=random), batch) for _ in range(passes)
        ]
    states = [policy.optimizer.state[p] for p in policy.parameters()]
    return (
        [p.detach() for p in policy.parameters()]
        + [s[name] for s in states for name in ("step", "exp_avg", "exp_avg_sq")]
        + [t for passed in found for t in (passed.records, passed.kls)]
    )


def test_passes_are_those_of_automatic_differentiation_and_adam(small):
    found = after_passes(small, passes=2)
    policy, data = network(small), rollout(1500)
    random = torch.Generator().manual_seed(9)
    for _ in range(2):
        for rows in torch.randperm(1500, generator=random).split(256):
            policy.optimizer.zero_grad()
            loss_of(policy, [t[rows] for t in data], TERMS).backward()
            clip_grad_norm_(policy.parameters(), TERMS.max_grad_norm)
            policy.optimizer.step()
    states = [policy.optimizer.state[p] for p in policy.parameters()]
    wanted = [p.detach() for p in policy.parameters()]
    wanted += [s[name] for s in states for name in ("step", "exp_avg", "exp_avg_sq")]
    for ours, theirs in zip(found, wanted, strict=False):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_two_cores_compute_the_same_numbers(small):
    alone = after_passes(small)
    for _ in range(10):  # TorchScript specialises itself in the first calls
        both = after_passes(small, side_by_side=True)
        assert all(torch.equal(a, b) for a, b in zip(alone, both, strict=True))


@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_pass_ends_before_the_step_that_goes_too_far(small, side_by_side):
    policy, data = network(small), rollout(1000)
    before = [p.detach().clone() for p in policy.parameters()]
    terms = TERMS._replace(most_kl=1e-9)
    with Update(policy, terms, side_by_side=side_by_side) as it:
        passed = it.pass_over(data, torch.arange(1000), 100)
    assert passed.stopped and passed.records.shape == (1, 6)
    assert passed.records.isfinite().all() and passed.records[0, 5] > 0
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))
    assert {float(s["step"]) for s in policy.optimizer.state.values()} == {0.0}


@pytest.mark.parametrize("side_by_side", [False, True])
def test_numbers_that_are_not_finite_hold_nobody_up(small, side_by_side):
    policy, data = network(small), rollout(1000)
    data[4][:] = torch.nan
    with Update(policy, TERMS, side_by_side=side_by_side) as it:
        passed = it.pass_over(data, torch.arange(1000), 100)
    assert passed.records[:, 5].isnan().all() and len(passed.records) == 10


def test_without_torchscript_the_numbers_are_the_same(small, monkeypatch):
    wanted = after_passes(small)

    def refuse(function):
        raise RuntimeError

    fused_update.scripted.cache_clear()
    monkeypatch.setattr(torch.jit, "script", refuse)
    policy = network(small)
    with Update(policy, TERMS, side_by_side=True) as it:
        assert it._run is fused_update._pass and not it.side_by_side
    found = after_passes(small)
    fused_update.scripted.cache_clear()
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_a_minibatch_in_pieces_has_the_same_gradient(small, monkeypatch):
    record, kl, wanted = one_gradient(network(small), rollout(1000))
    monkeypatch.setattr(fused_update, "PIECE", 300)
    found = one_gradient(network(small), rollout(1000))
    torch.testing.assert_close(found[:2], (record, kl), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[2], wanted, rtol=1e-4, atol=1e-6)


def test_deviations_keep_to_their_least_in_each_step(small):
    policy, data = network(small), rollout(600)
    with Update(policy, TERMS._replace(ent_coef=-100.0, least_log_std=-0.401)) as it:
        it.pass_over(data, torch.arange(600), 60)
    torch.testing.assert_close(policy.log_std.detach(), torch.full((6,), -0.401))


def test_the_state_is_given_back_when_the_block_fails(small):
    policy = network(small)
    with pytest.raises(KeyError), Update(policy, TERMS) as it:
        it.pass_over(rollout(), torch.arange(300), 300)
        raise KeyError
    assert {float(s["step"]) for s in policy.optimizer.state.values()} == {1.0}
    assert all(s["exp_avg"].any() for s in policy.optimizer.state.values())


def test_networks_act_as_the_policy_does(small):
    policy = network(small)
    obs = rollout()[0]
    networks = Networks(policy)
    torch.manual_seed(7)
    actions, deviations = networks.act(obs)
    log_probs = networks.log_probs(deviations)
    torch.manual_seed(7)
    with torch.no_grad():
        wanted, values, wanted_log_probs = policy(obs)
    torch.testing.assert_close(actions, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(log_probs, wanted_log_probs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(networks.values(obs), values[:, 0], rtol=1e-5, atol=1e-6)


def test_a_network_waits_for_the_other_as_long_as_that_takes():
    place = torch.full((), -1.0)
    late = threading.Timer(2.0, place.fill_, (0.25,))
    late.start()
    begin = time.perf_counter()
    assert fused_update.scripted(fused_update._known)(place) == 0.25
    assert time.perf_counter() - begin > 1.0
    late.join()
