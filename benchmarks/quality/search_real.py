"""Search on real clips: is the same place found again, and does the index of vectors answer as comparing with all does?

    python -m benchmarks.quality.search_real places CAMERA_TRAPS [--fps 1] [--store STORE]
    python -m benchmarks.quality.search_real index INTERACTIONS --fps 5 --model vimoclip-tiny [--store STORE]

ViT-B-32 with random weights, or vimoclip-tiny with its own, and frame differences; in STORE, which is made where it is
not there yet.

`places`: precision@5 in appearance. A camera is told from the material only where clips lie in a folder of their own
camera; the first folder of a path is the site. Each clip as a whole asks for others of its site, its own clip being no
answer; and its first two seconds ask for the rest of it, which its own camera made. Chance is the share of the segments
that would be right. `index`: every clip asks, by an index that is forced upon a table too small to earn one.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
from rich.console import Console

from benchmarks.common import describe_machine
from pipelines.index import IndexRequest
from pipelines.index import run as index
from pipelines.ingest import IngestRequest
from pipelines.ingest import run as ingest
from vimoclip.api import Store
from vimoclip.search import ranking
from vimoclip.search.options import By
from vimoclip.search.results import Hits
from vimoclip.store import vector_index
from vimoclip.training.metrics import interval

TOP, FIRST_S = 5, 2.0
BY: tuple[By, ...] = ("appearance", "motion", "mix")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["places", "index"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fps", type=float, default=1.0)
    parser.add_argument("--model", choices=["ViT-B-32", "vimoclip-tiny"], default="ViT-B-32")
    parser.add_argument("--store", type=Path)
    asked = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        store = made(asked.folder, asked.store or Path(folder) / "store", asked.fps, asked.model)
        if asked.what == "places":
            places(console, store)
        else:
            of_index(console, store)


def made(folder: Path, where: Path, fps: float, model: str) -> Store:
    """The store of a folder's clips, ingested where it is not there yet."""
    settings = {
        "clip": {"model": model} | ({"weights": "none"} if model == "ViT-B-32" else {}),
        "sampling": {"fps": fps},
        "flow": {"estimator": "frame-difference"},
    }
    if not where.is_dir():
        ingest(IngestRequest([folder], where, settings))
    return Store.open(where)


def places(console: Console, store: Store) -> None:
    """The same site, the same camera, and the rest of a clip."""
    index(IndexRequest(store.place))
    store = store.refresh()
    ids = list(store.videos()["video_id"])
    several = {name: own for name in map(camera, ids) if len(own := [each for each in ids if camera(each) == name]) > 1}
    console.print(f"{len(ids)} clips of {len(set(map(site, ids)))} sites; cameras with several clips: {several}")
    by_site = [share(store, store.search(video=name, exclude="video", top=TOP), like(site, name)) for name in ids]
    console.print(f"the same site, precision@{TOP}: {said(by_site)}")
    for own in several.values():
        for name in own:
            found = [hit.video_id for hit in store.search(video=name, exclude="video", top=100)]
            at = [n for n, each in enumerate(dict.fromkeys(found), 1) if each in own]
            console.print(f"  the other clips of the camera of {name} are found as clips {at} of {len(ids) - 1}")
    durations = dict(store.videos().select("video_id", "duration_s").iter_rows())
    long = [name for name in ids if durations[name] > 2 * FIRST_S]
    asked = [(name, store.search(video=name, start_s=0, end_s=FIRST_S, top=TOP)) for name in long]
    rest = [share(store, hits, like(str, name)) for name, hits in asked]
    console.print(f"the rest of the same clip, of {len(long)} longer ones, precision@{TOP} at most: {said(rest)}")


def of_index(console: Console, store: Store) -> None:
    """Answers by the index beside the exact ones."""
    vector_index.ROWS_TO_INDEX = 256
    report = index(IndexRequest(store.place, window_s=0.5, stride_s=0.25))
    store = store.refresh()
    same, scores, queries, by_index = 0, 0, 0, 0
    for video_id in store.videos()["video_id"]:
        for by in BY:
            answers: list[Hits] = []
            for ranking.EXACT_ROWS in (250_000, 0):
                answers.append(store.search(video=video_id, by=by, exclude="video"))
            exact, found = answers
            queries += 1
            by_index += not found.exact
            same += [(hit.video_id, hit.start_s) for hit in exact] == [(hit.video_id, hit.start_s) for hit in found]
            scores += np.allclose([hit.score for hit in exact], [hit.score for hit in found][: len(exact)], atol=1e-6)
    console.print(
        f"{report.total} segments, {queries} queries, of which {by_index} by the index: the same ten bouts {same}, "
        f"the same scores {scores}"
    )


def site(video_id: str) -> str:
    """The first folder of a path."""
    return PurePosixPath(video_id).parts[0]


def camera(video_id: str) -> str:
    """The folder of a camera: the deepest one, but for one that is a date, where there is one beside the site's own."""
    folders = [part for part in PurePosixPath(video_id).parts[1:-1] if not part[:2].isdigit()]
    return "/".join((site(video_id), *folders)) if folders else video_id


def like(of: Callable[[str], str], name: str) -> Callable[[str], bool]:
    """Whether another id has the same."""
    return lambda other: of(other) == of(name)


def share(store: Store, hits: Hits, right: Callable[[str], bool]) -> tuple[float, float]:
    """precision@TOP, and that of chance among the segments that could be an answer."""
    corpus = store.search.corpus
    good = np.array([right(video_id) for video_id in corpus.video_ids])[corpus.video]
    name = hits.query.split(" from ")[0]
    own = np.array([video_id == name for video_id in corpus.video_ids])[corpus.video]
    excluded = own & (corpus.start_s < FIRST_S) if " from " in hits.query else own
    return sum(right(hit.video_id) for hit in hits) / TOP, float(good[~excluded].mean())


def said(found: list[tuple[float, float]]) -> str:
    """The means, with an interval over the queries."""
    of = interval([precision for precision, _ in found])
    return f"{of.mean:.3f} ± {of.half or 0:.3f}, chance {np.mean([chance for _, chance in found]):.3f}"


if __name__ == "__main__":
    main()
