"""From the plates and reads of a camera's frames to one sighting per vehicle."""
