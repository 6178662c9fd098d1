"""The simulation batch and its faces: SB3's VecEnv and Gymnasium's Env."""
