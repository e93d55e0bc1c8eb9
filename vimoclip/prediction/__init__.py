"""Prediction: what a trained fusion run sees in videos, stored ones and files.

- predictor.py: `Predict`, what `store.predict` calls, and `Predictor`: windows of videos, scored by a run's model.
- inputs.py: which videos are meant by paths, ids and patterns, and their frames, read or computed.
- predictions.py: `Predictions`: probabilities of labels, and bouts.
- export.py: predictions as CSV, JSON, BORIS events and ethograms.
"""
