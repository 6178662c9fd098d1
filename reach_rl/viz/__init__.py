"""Pictures, films, plots and reports."""
