"""The processes of a box: workers from picture to sighting, the hub that stores and tells, the supervisor over them."""
