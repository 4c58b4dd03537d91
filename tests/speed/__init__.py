"""Benchmarks: the product beside the per-sample reference."""
