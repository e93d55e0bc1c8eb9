"""Hits to bouts, against the definition worked out the slow way: every cut of the ranking."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vimoclip.bouts import Bout, bouts


def merged(hits: list[Bout]) -> list[Bout]:
    """Runs of hits that overlap or touch, by sorting."""
    found: list[Bout] = []
    for video, start, end, score, row in sorted(hits, key=lambda hit: (hit[0], hit[1], hit[2])):
        if found and found[-1].key == video and start <= found[-1].end_s + 1e-6:
            last = found[-1]
            better = (score, -row) > (last.score, -last.row)
            best = (score, row) if better else (last.score, last.row)
            found[-1] = Bout(video, last.start_s, max(last.end_s, end), *best)
        else:
            found.append(Bout(video, start, end, score, row))
    return sorted(found, key=lambda bout: (-bout.score, bout.row))


def slowly(hits: list[Bout], most: int) -> tuple[list[Bout], bool]:
    cuts = [merged(hits[:n]) for n in range(len(hits) + 1)]
    reach = min(max(len(cut) for cut in cuts), most)
    return next(cut for cut in cuts if len(cut) >= reach), reach == most


SEGMENTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(1, 4), st.integers(-10, 10)), min_size=0, max_size=25
)


@settings(max_examples=150, deadline=None)
@given(SEGMENTS, st.integers(1, 6))
def test_as_by_the_definition(segments: list[tuple[int, int, int, int]], most: int) -> None:
    hits = [Bout(v, float(s), float(s + n), z / 10, row) for row, (v, s, n, z) in enumerate(segments)]
    hits.sort(key=lambda hit: (-hit.score, hit.row))
    assert bouts(hits, most) == slowly(hits, most)


def test_a_run_of_hits_is_one_bout_with_the_best_score() -> None:
    hits = [Bout(0, 2.0, 4.0, 0.9, 2), Bout(1, 0.0, 2.0, 0.8, 7), Bout(0, 3.0, 5.0, 0.7, 3), Bout(0, 1.0, 3.0, 0.6, 1)]
    found, enough = bouts([*hits, Bout(0, 9.0, 11.0, 0.1, 9)], 3)
    assert enough
    assert found == [Bout(0, 1.0, 5.0, 0.9, 2), Bout(1, 0.0, 2.0, 0.8, 7), Bout(0, 9.0, 11.0, 0.1, 9)]


def test_it_stops_where_further_hits_would_only_join_bouts() -> None:
    ends = [Bout(0, 0.0, 2.0, 0.9, 0), Bout(0, 8.0, 10.0, 0.8, 8)]
    between = [Bout(0, float(s), float(s + 2), 0.1, s) for s in range(1, 8)]
    found, enough = bouts(ends + between, 10)
    assert not enough
    assert [(bout.start_s, bout.end_s) for bout in found] == [(0, 2), (8, 10)]


def test_nothing() -> None:
    assert bouts([], 3) == ([], False)
