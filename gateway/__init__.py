"""Speaks gRPC; knows no vendor."""
