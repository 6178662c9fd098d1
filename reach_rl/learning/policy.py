"""A policy as it is used: normalisation and network together, never one without the other."""

import inspect
from collections.abc import Mapping

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from torch.optim import Optimizer

from reach_rl.config.schema import Activation, Config, PolicyKwargs

ACTIVATIONS: Mapping[Activation, type[torch.nn.Module]] = {
    Activation.TANH: torch.nn.Tanh,
    Activation.RELU: torch.nn.ReLU,
    Activation.ELU: torch.nn.ELU,
    Activation.SILU: torch.nn.SiLU,
    Activation.GELU: torch.nn.GELU,
    Activation.LEAKY_RELU: torch.nn.LeakyReLU,
}


def policy_kwargs(config: PolicyKwargs) -> dict[str, object]:
    """SB3's policy_kwargs."""
    return {
        "net_arch": {"pi": list(config.net_arch.pi), "vf": list(config.net_arch.vf)},
        "activation_fn": ACTIVATIONS[config.activation_fn],
        "log_std_init": config.log_std_init,
        "ortho_init": config.ortho_init,
        "optimizer_class": Adam,
        "optimizer_kwargs": {"fused": True},
    }


class Normalizer(torch.nn.Module):
    """Observations (n, d) as a network was trained to take them, float32."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, mean: np.ndarray, scale: np.ndarray, clip: float) -> None:
        """Subtract a mean (d,), multiply by a scale (d,), clip to +- clip."""
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(scale))
        self.clip = clip

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Normalised observations, (n, d)."""
        scaled = (observation - self.mean) * self.scale
        return scaled.clamp(-self.clip, self.clip).float()


class Adam(torch.optim.Adam):
    """Torch's Adam; it does not load torch's compiler, which takes two seconds, to do without it.

    Torch wraps these methods so that `torch.compile` leaves them out.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)


class Policy:
    """Observations to actions; stateless."""

    def __init__(
        self,
        actor_critic: ActorCriticPolicy,
        mean: np.ndarray | None,
        variance: np.ndarray | None,
        clip: float,
        *,
        epsilon: float = 1e-8,
        deterministic: bool = True,
    ) -> None:
        """Bundle a network with the statistics that it was trained with.

        Args:
            actor_critic: SB3's policy.
            mean: (d,) mean of the observations, None if they were not normalised.
            variance: (d,) their variance.
            clip: normalised observations are clipped to +- this.
            epsilon: added to the variance.
            deterministic: give the mean action, not a sample.
        """
        self.actor_critic = actor_critic
        self.mean = mean
        self.scale = None if variance is None else 1.0 / np.sqrt(variance + epsilon)
        self.clip = clip
        self.deterministic = deterministic

    @property
    def network(self) -> torch.nn.Sequential:
        """Normalised observations (n, d) to mean actions (n, j), not clipped; plain torch."""
        layers = self.actor_critic.mlp_extractor.policy_net
        return torch.nn.Sequential(*layers, self.actor_critic.action_net)

    @property
    def normalizer(self) -> Normalizer:
        """Observations as the environment gives them to what the network takes; plain torch."""
        if self.mean is None or self.scale is None:
            size = self.actor_critic.observation_space.shape
            return Normalizer(np.zeros(size or 0), np.ones(size or 0), np.inf)
        return Normalizer(self.mean.copy(), self.scale, self.clip)

    def normalize(self, observation: np.ndarray) -> np.ndarray:
        """What the network sees, (n, d) float32."""
        if self.mean is None or self.scale is None:
            return observation.astype(np.float32)
        scaled = (observation - self.mean) * self.scale
        return np.clip(scaled, -self.clip, self.clip).astype(np.float32)

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Actions (n, j) in [-1, 1] for observations (n, d)."""
        return self._act(observation, self.deterministic)

    def predict(
        self,
        observation: np.ndarray,
        state: None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool | None = None,
    ) -> tuple[np.ndarray, None]:
        """Actions in [-1, 1], and no state; what SB3's `predict` answers, so that its helpers work.

        Args:
            observation: (d,) or (n, d), as the environment gives it, not normalised.
            state: of recurrent policies, which this is none of.
            episode_start: the same.
            deterministic: the mean action, or a sample; as the run was judged by default.
        """
        seen = np.asarray(observation)
        how = self.deterministic if deterministic is None else deterministic
        action = self._act(np.atleast_2d(seen), how)
        return (action if seen.ndim > 1 else action[0]), None

    def _act(self, observation: np.ndarray, deterministic: bool) -> np.ndarray:
        with torch.no_grad():
            seen = torch.from_numpy(self.normalize(observation)).to(self.actor_critic.device)
            action = self.actor_critic._predict(seen, deterministic=deterministic)
        return np.clip(action.cpu().numpy(), -1.0, 1.0)


def bare_network(config: Config, observations: int, actions: int) -> ActorCriticPolicy:
    """A network of the configured shape with initial weights, on the CPU."""
    return ActorCriticPolicy(
        spaces.Box(-np.inf, np.inf, (observations,), np.float32),
        spaces.Box(-1.0, 1.0, (actions,), np.float32),
        lambda _: config.ppo.learning_rate,
        use_sde=config.ppo.use_sde,
        **policy_kwargs(config.ppo.policy_kwargs),  # type: ignore[arg-type]
    )
