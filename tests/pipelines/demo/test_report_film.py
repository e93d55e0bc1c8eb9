"""Agreement of predicted bouts with true spans, by frames counted by hand."""

from pipelines.demo.report import compared
from schemas.labels import Span


def predicted(*bouts: tuple[str, float, float]) -> dict[str, object]:
    return {"bouts": [{"label": label, "start_s": start, "end_s": end} for label, start, end in bouts]}


def test_recall_and_precision_are_of_frames_and_labels() -> None:
    spans = [Span("walking", 0, 2), Span("standing", 2, 4)]
    film = compared(4.0, spans, predicted(("walking", 0, 1), ("flying", 1, 4)))
    assert film.recall == 1 / 4 and film.precision == 1 / 4
    assert [lane.label for lane in film.lanes] == ["walking", "standing", "flying"]
    assert film.lanes[0].spans == (spans[0],) and film.lanes[1].bouts == ()


def test_what_is_all_right_is_1_and_nothing_predicted_has_no_precision() -> None:
    spans = [Span("walking", 0.5, 1.25)]
    assert compared(2.0, spans, predicted(("walking", 0.5, 1.25))).recall == 1.0
    nothing = compared(2.0, spans, predicted())
    assert nothing.recall == 0.0 and nothing.precision is None
