"""What happened: logs now, metrics and traces with the operation of it all."""
