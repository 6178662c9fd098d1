"""What every test starts from: no dashboard account, whatever the user's shell holds."""

import os

os.environ.pop("WANDB_API_KEY", None)
os.environ["NETRC"] = os.devnull  # W&B looks for credentials there
