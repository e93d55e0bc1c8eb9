"""The trained models that a store keeps: `models/<id>/` holds the two files of each.

The id is the first 16 hex digits of the SHA-256 of the weights. A feature that a trained student made names it as its
weights, `student:<id>`; the segments name the model of their behaviour space (schemas/segments.py).
"""

from schemas.features import Feature

MODELS = "models"
WEIGHTS, META = "model.safetensors", "meta.json"
STUDENT = "student:"


def folder_of(id: str) -> str:
    """The folder of a model's files, relative to the store."""
    return f"{MODELS}/{id}"


def student_id(feature: Feature) -> str | None:
    """The id of the trained student that made a feature; None for any other feature."""
    return feature.weights.removeprefix(STUDENT) if feature.training == "trained" else None
