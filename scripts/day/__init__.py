"""A day of traffic past three cameras, with planted cases of every rule."""
