"""The errors plugin: failures, the groups they form, and what people do about them."""
