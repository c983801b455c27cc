"""Who is asking: accounts, passwords, sessions and their tokens, on every database."""
