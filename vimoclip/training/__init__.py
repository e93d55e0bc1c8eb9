"""Training: the one loop, what is trained in it, and how it is measured.

- loop.py: `Training`, the loop, for any `Task`: epochs, resuming, the best epoch, metrics.jsonl, TensorBoard.
- fusion.py: the task of a fusion head on stored vectors, and the calibration of its probabilities.
- motion.py: the task of the motion student, which reads flow.
- motion_dataset.py: the clips of flow that the motion student is trained on.
- losses.py: the losses of both, and mixup.
- optimizer.py: AdamW, learning rates, the average of weights, and processes that train together.
- splits.py: which videos are trained on and held out, and which labels are classes.
- metrics.py: average precision under its three names, calibration error, and confidence intervals.
"""
