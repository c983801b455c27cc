"""Who is asking: accounts, sessions and tokens end in one `Actor`."""
