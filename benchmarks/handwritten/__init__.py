"""The limit: what a careful person would write by hand for just these questions, on the same server and drivers."""
