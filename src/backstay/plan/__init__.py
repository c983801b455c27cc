"""What is asked and what is allowed: an `Ask` becomes a `Plan` here, and nowhere else."""
