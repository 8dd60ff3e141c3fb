"""Benchmarks that yield one line a measurement, each beside a peer that ran in the same run."""
