"""Models that are lost or damaged, of a store that has a trained student and a behaviour space."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.models import META, WEIGHTS, folder_of
from tests.vimoclip.kept_models import Kept, kept
from vimoclip.store.verify import verify


@pytest.fixture
def own(tmp_path: Path) -> Kept:
    return kept(tmp_path)


@pytest.mark.parametrize("user", ["features", "segments"])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), f"which has no {WEIGHTS}"),
        (lambda folder: (folder / META).unlink(), f"which has no {META}"),
        (lambda folder: folder.rename(folder.parent / "elsewhere"), f"which has no {WEIGHTS} and no {META}"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"cut"), f"whose {WEIGHTS} is another, or damaged"),
        (lambda folder: (folder / META).write_text("{"), f"whose {META} is another, or damaged"),
        (lambda folder: (folder / META).write_text("{}"), f"whose {META} is another, or damaged"),
    ],
)
def test_a_model_that_is_lost_or_damaged_is_named(
    own: Kept, user: str, change: Callable[[Path], object], what: str
) -> None:
    assert verify(own.store) == []
    id = own.student if user == "features" else own.behaviour
    change(own.store / folder_of(id))
    (fault,) = verify(own.store)
    assert (fault.name, fault.table, fault.video_id, fault.harmless) == ("missing-model", user, None, False)
    of = "trained" if user == "features" else "behaviour"
    assert fault.detail == f"{of} was made with {folder_of(id)}, {what}"
    assert "into that folder" in fault.remedy
