"""PPO in one file of plain torch.   python examples/torch_ppo.py task=near run_dir=runs/torch."""

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import reach_rl


class Agent(nn.Module):
    """Both networks, and the running mean and variance of what they see."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, outputs))
        self.critic = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 1))
        self.log_std = nn.Parameter(torch.full((outputs,), -0.5))
        self.count, self.mean, self.var = 1e-4, np.zeros(inputs), np.ones(inputs)

    def see(self, seen: Any, update: bool = False) -> Tensor:  # noqa: ANN401
        if update:
            share, apart = len(seen) / (self.count + len(seen)), seen.mean(axis=0) - self.mean
            self.count, self.mean = self.count + len(seen), self.mean + share * apart
            self.var += share * (seen.var(axis=0) + (1.0 - share) * apart**2 - self.var)
        return torch.from_numpy(((seen - self.mean) / (self.var**0.5 + 1e-4)).clip(-10, 10)).float()

    def actions(self, seen: Tensor) -> torch.distributions.Normal:
        return torch.distributions.Normal(self.actor(seen), self.log_std.exp())


def main(words: list[str]) -> dict[str, Any]:
    """Train, judge and record; returns what summary.json holds."""
    config = reach_rl.compose(["vec_env.n_envs=128", "ppo.n_steps=48", *words], own_learner=True)
    env, p, judged, step = reach_rl.make_vec_env(config), config.ppo, config.evaluation, 0
    torch.manual_seed(config.seed)
    agent = Agent(env.observation_space.shape[0], env.action_space.shape[0])  # type: ignore[index]
    optimizer, seen = torch.optim.Adam(agent.parameters(), p.learning_rate), env.reset()
    with reach_rl.record(config, learner="torch PPO") as record:
        while step < config.total_timesteps:
            rollout: list[tuple[Tensor, ...]] = []
            with torch.no_grad():
                for _ in range(p.n_steps):
                    o = agent.see(seen, update=True)
                    a = agent.actions(o).sample()
                    seen, gain, done, infos = env.step(a.clamp(-1.0, 1.0).numpy())
                    gain = 0.02 * gain  # so that returns are of the order of one
                    for i in np.flatnonzero(done):  # a time-out does not lose what would have come
                        last = agent.see(infos[i]["terminal_observation"][None])
                        gain[i] += p.gamma * agent.critic(last).item()
                    log_p, value = agent.actions(o).log_prob(a).sum(1), agent.critic(o)[:, 0]
                    rollout.append((o, a, log_p, value, torch.tensor(gain), torch.tensor(~done)))
                obs, acts, log_p, value, gain, alive = map(torch.stack, zip(*rollout, strict=True))
                ahead, later, adv = agent.critic(agent.see(seen))[:, 0], 0.0, value.clone()
                for t in reversed(range(p.n_steps)):
                    later = gain[t] + p.gamma * alive[t] * (ahead + p.gae_lambda * later) - value[t]
                    adv[t], ahead = later, value[t]
            data = [x.flatten(0, 1) for x in (obs, acts, log_p, adv, adv + value)]
            orders = [torch.randperm(value.numel()) for _ in range(p.n_epochs)]
            for rows in (part for order in orders for part in order.split(p.batch_size)):
                o, a, before, gain, target = (x[rows] for x in data)
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                ratio = (agent.actions(o).log_prob(a).sum(1) - before).exp()
                cut = ratio.clamp(1.0 - p.clip_range, 1.0 + p.clip_range)
                loss = -torch.minimum(gain * ratio, gain * cut).mean()
                loss = loss + p.vf_coef * (agent.critic(o)[:, 0] - target).square().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), p.max_grad_norm)
                optimizer.step()
            record.write(step := step + env.num_envs * p.n_steps, record.rollout(env))
        act = torch.no_grad()(lambda seen: agent.actor(agent.see(seen)).clamp(-1.0, 1.0).numpy())
        return record.finish(reach_rl.evaluate(act, config, goals=judged.goals, seed=judged.seed))


if __name__ == "__main__":
    main(sys.argv[1:])
