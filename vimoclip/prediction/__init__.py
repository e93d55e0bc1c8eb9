"""Prediction: windows scored by a trained fusion, bouts, and the files that they are written to."""
