"""The AI gateway: model providers' own APIs, with the key out of the vault and every call recorded."""
