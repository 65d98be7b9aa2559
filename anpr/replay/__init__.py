"""Recorded footage through the whole engine, and how well it did."""
