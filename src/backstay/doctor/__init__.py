"""What is unsafe, and what will be slow or full, before it happens: each finding with what to do."""
