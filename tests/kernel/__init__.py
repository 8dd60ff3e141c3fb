"""The host kernel as a peer: the same rules and packets go through Linux and through a netfast node."""
