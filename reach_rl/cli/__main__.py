"""`python -m reach_rl.cli` is `reach-rl`."""

from reach_rl.cli import main

main()
