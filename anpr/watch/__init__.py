"""Watch-lists: importing them, matching sightings against them, and the hits that they raise."""
