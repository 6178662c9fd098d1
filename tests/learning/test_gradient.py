"""The written-out gradient and Adam's steps, beside what PyTorch makes of the same loss."""

from dataclasses import replace

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from reach_rl.config.kinds import Activation
from reach_rl.learning import gradient, script
from reach_rl.learning.adam import on_one_vector, plain
from reach_rl.learning.gradient import Gradient, Terms
from reach_rl.learning.networks import Networks
from reach_rl.learning.policy import bare_network

TERMS = Terms(
    clip_range=0.2,
    clip_range_vf=None,
    vf_coef=0.5,
    ent_coef=0.01,
    normalize_advantage=True,
    max_grad_norm=0.5,
)


def network(small, *overrides):
    torch.manual_seed(3)
    return bare_network(small("ppo.policy_kwargs.log_std_init=-0.4", *overrides), 20, 6)


def minibatch(n=300):
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
    if terms.clip_range_vf is not None:
        change = (values - old_values).clamp(-terms.clip_range_vf, terms.clip_range_vf)
        values = old_values + change
    value_loss = (returns - values).square().mean()
    return policy_loss - terms.ent_coef * entropy.mean() + terms.vf_coef * value_loss


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "leaky_relu"])
@pytest.mark.parametrize("clip_range_vf", [None, 0.3])
def test_it_is_the_gradient_of_ppos_loss(small, activation, clip_range_vf):
    assert activation in {a.value for a in Activation}
    policy = network(small, f"ppo.policy_kwargs.activation_fn={activation}")
    terms, data = replace(TERMS, clip_range_vf=clip_range_vf), minibatch()
    loss = loss_of(policy, data, terms)
    loss.backward()
    norm = clip_grad_norm_(policy.parameters(), terms.max_grad_norm)
    assert norm > terms.max_grad_norm
    wanted = [p.grad.clone() for p in policy.parameters()]
    record, kl = Gradient(policy, side_by_side=False).compute(data, terms)
    for parameter, slope in zip(policy.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(record[4], loss.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(record[5], norm, rtol=1e-4, atol=1e-6)
    assert 0.1 < record[3] < 0.95
    assert kl > 0


def test_two_cores_compute_the_same_numbers(small):
    policy, data = network(small), minibatch(5000)
    alone = Gradient(policy, side_by_side=False)
    wanted = [t.clone() for t in (*alone.compute(data, TERMS), alone.vector)]
    both = Gradient(policy, side_by_side=True)
    assert isinstance(both._run, torch.jit.ScriptFunction)
    for _ in range(20):  # TorchScript specialises itself in the first calls
        found = (*both.compute(data, TERMS), both.vector)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_without_torchscript_the_numbers_are_the_same(small, monkeypatch):
    policy, data = network(small), minibatch(600)
    compiled = Gradient(policy, side_by_side=True)
    record, kl = compiled.compute(data, TERMS)
    wanted = compiled.vector.clone()

    def refuse(function):
        raise RuntimeError

    script.scripted.cache_clear()
    monkeypatch.setattr(torch.jit, "script", refuse)
    plain = Gradient(policy, side_by_side=True)
    found = plain.compute(data, TERMS)
    script.scripted.cache_clear()
    assert plain._run is gradient._gradient
    assert torch.equal(plain.vector, wanted) and torch.equal(found[0], record)
    assert torch.equal(found[1], kl)


def test_a_minibatch_in_pieces_has_the_same_gradient(small, monkeypatch):
    policy, data = network(small), minibatch(1000)
    whole = Gradient(policy, side_by_side=False)
    record, kl = whole.compute(data, TERMS)
    wanted = whole.vector.clone()
    monkeypatch.setattr(gradient, "PIECE", 300)
    pieces = Gradient(policy, side_by_side=False)
    torch.testing.assert_close(pieces.compute(data, TERMS), (record, kl), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(pieces.vector, wanted, rtol=1e-4, atol=1e-6)


def test_steps_on_one_vector_are_those_of_adam(small):
    ours, theirs = network(small), network(small)
    assert plain(ours.optimizer)
    slope = Gradient(ours, side_by_side=False)
    reference = Gradient(theirs, side_by_side=False)
    for rate in (1e-2, 3e-3):  # the second block goes on with what the first has left
        for optimizer in (ours.optimizer, theirs.optimizer):
            optimizer.param_groups[0]["lr"] = rate
        with on_one_vector(ours.optimizer, slope.vector) as step:
            for seed in range(5):
                torch.manual_seed(seed)
                slope.vector.copy_(torch.randn_like(slope.vector))
                reference.vector.copy_(slope.vector)
                step()
                theirs.optimizer.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
        state, wanted = ours.optimizer.state[mine], theirs.optimizer.state[other]
        assert state.keys() == wanted.keys()
        for key in wanted:
            torch.testing.assert_close(state[key], wanted[key], rtol=1e-5, atol=1e-6)


def test_the_state_is_given_back_when_the_block_fails(small):
    policy = network(small)
    vector = Gradient(policy, side_by_side=False).vector
    vector.fill_(1.0)
    with pytest.raises(KeyError), on_one_vector(policy.optimizer, vector) as step:
        step()
        raise KeyError
    assert {float(s["step"]) for s in policy.optimizer.state.values()} == {1.0}


@pytest.mark.parametrize("option", [{"weight_decay": 0.1}, {"amsgrad": True}])
def test_another_optimizer_is_not_taken_for_adam(small, option):
    parameters = list(network(small).parameters())
    assert plain(torch.optim.Adam(parameters))
    assert not plain(torch.optim.Adam(parameters, **option))
    assert not plain(torch.optim.AdamW(parameters))


def test_networks_act_as_the_policy_does(small):
    policy = network(small)
    obs = minibatch()[0]
    networks = Networks(policy)
    torch.manual_seed(7)
    actions, log_probs = networks.act(obs)
    torch.manual_seed(7)
    with torch.no_grad():
        wanted, values, wanted_log_probs = policy(obs)
    torch.testing.assert_close(actions, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(log_probs, wanted_log_probs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(networks.values(obs), values[:, 0], rtol=1e-5, atol=1e-6)
