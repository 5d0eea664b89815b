"""How Django itself prints moments, where no template of ours does."""
