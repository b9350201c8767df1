"""Who acts: users, sessions, magic links, access tokens and the principal made from them."""
