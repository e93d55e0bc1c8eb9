"""Search: recall and latency beside numpy and faiss, filtered, in a cold process, and what new videos cost.

    python -m benchmarks.speed.search vectors [--rows 1000000] [--queries 200] [--store STORE]
    python -m benchmarks.speed.search frames [--frames 200000]
    python -m benchmarks.speed.search cold [--model ViT-B-32]

`vectors`: on made-up clusters, or on the jittered frames of a real store; queries are held out, and the truth is an
exact search in fp32. faiss's IVF-PQ re-ranks as Lance's index does, and gets as many probes as it needs for our recall.
`cold`: whole processes, those that need a model beside one that only loads it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.common import describe_machine
from benchmarks.speed.vectors import (
    APART_S,
    OF_VIDEO,
    Array,
    Drawn,
    add,
    clusters,
    index,
    jittered,
    make_store,
    of_store,
)
from pipelines.index import IndexRequest, run
from tests.clips import write_folder
from vimoclip.api import Store
from vimoclip.search.filters import Filters
from vimoclip.search.results import Hits

TOP = 10
SHARES = (1.0, 0.1, 0.01, 0.001)
ROOT = Path(__file__).resolve().parents[2]

Found = NDArray[np.int64]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["vectors", "frames", "cold"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--model", default="ViT-B-32")
    asked = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        if asked.what == "vectors":
            made = clusters if asked.store is None else (lambda n, q: jittered(of_store(asked.store), n, q))
            of_vectors(console, Path(folder), made(asked.rows, asked.queries), rivals=True)
        elif asked.what == "frames":
            of_frames(console, Path(folder), asked.frames)
        else:
            cold(console, Path(folder), asked.model)


def of_vectors(console: Console, folder: Path, drawn: Drawn, rivals: bool) -> None:
    """Recall and latency of one store."""
    rows = len(drawn.stored)
    truth = exact(drawn.stored, drawn.queries)
    store = make_store(folder / "store", drawn.stored)
    built = index(store)
    console.print(f"{rows} × {drawn.stored.shape[1]}: index in {built.seconds:.1f} s, exact searches: {built.exact}")
    search = Store.open(store.place).search
    for share in SHARES:
        of = Filters() if share == 1 else Filters(where={f"in {share:g}": ("yes",)})
        within = np.arange(rows) if share == 1 else np.flatnonzero(np.arange(rows) // OF_VIDEO % round(1 / share) == 0)
        expected = truth if share == 1 else within[exact(drawn.stored[within], drawn.queries)]
        search(vector=drawn.queries[0], filters=of)  # what is read once
        answers, median = timed(lambda query, of=of: search(vector=query, top=TOP, filters=of), drawn.queries)  # type: ignore[misc]
        found = [numbers(hits) for hits in answers]
        least, how = min(map(len, found)), "exact" if answers[0].exact else "by the index"
        console.print(
            f"  {share:g} of the rows: recall@{TOP} {recall(found, expected):.3f}, p50 {median * 1e3:.1f} ms, "
            f"least hits {least} of {min(TOP, len(within))}, {how}"
        )
    cold_span(console, store)
    if rivals:
        of_rivals(console, drawn, truth, recall([numbers(search(vector=q, top=TOP)) for q in drawn.queries], truth))
    more = max(OF_VIDEO, rows // 100)
    add(store.refresh(), drawn.stored[:more], rows // OF_VIDEO)
    added = index(store.refresh())
    ratio = added.seconds / built.seconds
    console.print(f"  1% more: index in {added.seconds:.1f} s, {ratio:.3f} of building it; {added.total} rows")


def exact(stored: Array, queries: Array) -> Found:
    """The TOP nearest of each query, (q, TOP)."""
    found = np.empty((len(queries), min(TOP, len(stored))), np.int64)
    for n, query in enumerate(queries):
        scores = stored @ query
        top = np.argpartition(-scores, found.shape[1] - 1)[: found.shape[1]]
        found[n] = top[np.argsort(-scores[top])]
    return found


def numbers(hits: Hits) -> list[int]:
    """The rows that hits are."""
    named = [hit for hit in hits if hit.video_id != "asked.mp4"]
    return [int(hit.video_id[:6]) * OF_VIDEO + round(hit.start_s / APART_S) for hit in named]


def recall(found: list[list[int]], truth: Found) -> float:
    """The share of the truth that was found."""
    pairs = zip(found, truth.tolist(), strict=True)
    return float(np.mean([len(set(own) & set(true)) / len(true) for own, true in pairs]))


def timed(ask: Callable[[Array], Hits], queries: Array) -> tuple[list[Hits], float]:
    """Answers, and the median time of one."""
    answers, seconds = [], []
    for query in queries:
        began = time.perf_counter()
        answers.append(ask(query))
        seconds.append(time.perf_counter() - began)
    return answers, float(np.median(seconds))


def of_rivals(console: Console, drawn: Drawn, truth: Found, ours: float) -> None:
    """numpy and faiss on the same vectors and queries, in this process."""
    import faiss

    dim = drawn.stored.shape[1]
    _rival(console, "numpy fp32", lambda query: exact(drawn.stored, query[None]), drawn.queries, truth)
    flat = faiss.IndexFlatIP(dim)
    flat.add(drawn.stored)
    _rival(console, "faiss flat", lambda query: flat.search(query[None], TOP)[1], drawn.queries, truth)
    began = time.perf_counter()
    codes = faiss.IndexIVFPQ(
        faiss.IndexFlatIP(dim), dim, max(1, int(np.sqrt(len(drawn.stored)))), 64, 8, faiss.METRIC_INNER_PRODUCT
    )
    codes.train(drawn.stored[:: max(1, len(drawn.stored) // 100_000)])
    codes.add(drawn.stored)
    built = time.perf_counter() - began
    refined = faiss.IndexRefine(codes, flat)
    for probes in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        codes.nprobe = probes
        refined.k_factor = 5 if probes < 64 else 20
        found = [refined.search(query[None], TOP)[1][0].tolist() for query in drawn.queries]
        if recall(found, truth) >= ours or probes >= codes.nlist:
            break
    name = f"faiss IVF-PQ m=64, {codes.nprobe} probes, ×{refined.k_factor:g} re-ranked, built in {built:.1f} s"
    _rival(console, name, lambda query: refined.search(query[None], TOP)[1], drawn.queries, truth)


def _rival(console: Console, name: str, ask: Callable[[Array], Found], queries: Array, truth: Found) -> None:
    found, seconds = [], []
    for query in queries:
        began = time.perf_counter()
        found.append(ask(query)[0].tolist())
        seconds.append(time.perf_counter() - began)
    console.print(f"  {name}: recall@{TOP} {recall(found, truth):.3f}, p50 {np.median(seconds) * 1e3:.1f} ms")


def cold_span(console: Console, store: Store) -> None:
    """A whole process that searches by a span."""
    words = ["asked.mp4", "--from", "1", "--to", "3", "--store", str(store.place)]
    console.print(f"  cold process by a span: {_process(['-m', 'vimoclip', 'search', *words]):.2f} s (median of 5)")


def of_frames(console: Console, folder: Path, frames: int) -> None:
    """How fast frames become segments, and what those of 1% new videos take; a search among single frames."""
    from benchmarks.speed.store import new_store, unit_vectors, write_videos

    store = new_store(folder / "store")
    videos = max(100, frames // 500)
    write_videos(store, videos, unit_vectors(500), b"")
    report = run(IndexRequest(store.place))
    console.print(
        f"{report.videos * 500} frames of 2 × 512 become {report.segments} segments in {report.seconds:.1f} s: "
        f"{report.videos * 500 / report.seconds:.0f} frames/s"
    )
    write_videos(store.refresh(), videos // 100, unit_vectors(500), b"", videos)
    added = run(IndexRequest(store.place))
    ratio = added.seconds / report.seconds
    console.print(f"  {added.videos} more videos, 1%: {added.seconds:.2f} s, {ratio:.3f} of that")
    search = Store.open(store.place).search
    began = time.perf_counter()
    first = search(vector=unit_vectors(1)[0], unit="frames")
    median = timed(lambda query: search(vector=query, unit="frames"), unit_vectors(5))[1]
    console.print(
        f"  among {first.searched} frames: the first search {time.perf_counter() - began - 5 * median:.2f} s, "
        f"then {median * 1e3:.0f} ms"
    )


def cold(console: Console, folder: Path, model: str) -> None:
    """Whole processes on a small store of a model of real size, with random weights."""
    write_folder(folder / "clips", clips_per_behaviour=1, frames=24, size=(160, 120))
    store = ["--store", str(folder / "store")]
    vimoclip = ["-m", "vimoclip"]
    of = ["--clip-model", model, "--clip-weights", "none"]
    _process([*vimoclip, "ingest", str(folder / "clips"), *of, *store], 1)
    _process([*vimoclip, "index", *store], 1)
    load = f"""
import torch
from vimoclip.models.clip import ClipTeacher
from vimoclip.api import Store
ClipTeacher(Store.open({str(folder / "store")!r}).config.clip, torch.device("cpu"))
"""
    console.print(f"{model}, whole processes, median of 5:")
    console.print(f"  loading the model alone: {_process(['-c', load]):.2f} s")
    clip = str(folder / "clips" / "still" / "000.mp4")
    for name, words in (
        ("a span", ["still/000.mp4", "--from", "0", "--to", "0.5"]),
        ("a text", ["--text", "a red ball that bounces"]),
        ("a clip", ["--clip", clip]),
        ("an image", ["--image", _picture(folder)]),
    ):
        console.print(f"  by {name}: {_process([*vimoclip, 'search', *words, *store]):.2f} s")


def _picture(folder: Path) -> str:
    import PIL.Image

    PIL.Image.fromarray(np.full((120, 160, 3), 128, np.uint8)).save(folder / "grey.png")
    return str(folder / "grey.png")


def _process(arguments: list[str], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=ROOT)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


if __name__ == "__main__":
    main()
