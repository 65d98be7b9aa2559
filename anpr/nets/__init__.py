"""Neural nets: model folders, sessions, the plate detector and the plate reader."""
