"""How money is taken: one port for every provider, and the provider of development and tests."""
