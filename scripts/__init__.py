"""Developer verbs and the training and rendering programs; run from the repository root."""
