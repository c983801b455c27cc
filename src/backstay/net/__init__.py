"""How other services are reached: the one client, and what it may reach."""
