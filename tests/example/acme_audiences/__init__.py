"""Acme Audiences, an invented vendor."""
