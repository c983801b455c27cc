"""Where it lives: a `Plan` is compiled to a `Statement` and run on one database."""
