"""User studies and entry links."""
