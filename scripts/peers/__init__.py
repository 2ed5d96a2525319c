"""Parts of scripts/compare: the servers it runs, and what it shows."""
