"""The trained models that a store keeps: `models/<id>/` has the two files of each.

The id is the first 16 hex digits of the SHA-256 of the weights. A feature that was made with a trained student names it
as its weights, `student:<id>`; the segments name the model of their behaviour space (schemas/segments.py).
"""

from schemas.features import Feature

MODELS = "models"
WEIGHTS, META = "model.safetensors", "meta.json"
STUDENT = "student:"


def folder_of(id: str) -> str:
    """Where a model's files are in the store."""
    return f"{MODELS}/{id}"


def student_id(feature: Feature) -> str | None:
    """The id of the student that a feature was made with; None where that is no trained one."""
    return feature.weights.removeprefix(STUDENT) if feature.training == "trained" else None
