"""Speaks REST; knows no gRPC."""
