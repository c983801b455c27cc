"""What is sold: prices, and the providers that take the payment."""
