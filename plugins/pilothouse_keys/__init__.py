"""Keys: the vault of provider keys, and the access tokens that programs sign in with."""
