"""Meiro: segment export destinations and segment exports."""
