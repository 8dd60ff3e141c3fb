"""Helpers of test_differential.py: what tshark makes of a frame, and frames to ask it about."""
