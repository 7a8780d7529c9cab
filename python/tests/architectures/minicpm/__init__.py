"""A model that brings its own code, as MiniCPM's checkpoints do."""
