"""Hydra's door to reach_rl.sweeps; Hydra imports this at every start, so it stays light."""
