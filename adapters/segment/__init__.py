"""Twilio Segment, through its Public API."""
