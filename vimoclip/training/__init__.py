"""Training: the one loop, losses, metrics, splits, and the tasks of the fusion and of the motion student."""
