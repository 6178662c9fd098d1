"""The version; who needs it alone imports nothing else."""

__version__ = "0.1.0"
