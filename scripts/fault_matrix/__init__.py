"""The fault matrix: each known way to fail, done to the real daemon, and what it must do then."""
