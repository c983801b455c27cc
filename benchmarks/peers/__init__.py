"""Who is asked: one file per peer, each of the shape of `port.Peer`."""
