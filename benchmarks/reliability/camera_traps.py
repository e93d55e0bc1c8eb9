"""Real camera-trap clips at --fps 5 and in full: every frame that a plain decode and the sampling rule give is
stored, a second run does nothing, and the frames that both stores hold have equal vectors, bit for bit.

    python -m benchmarks.reliability.camera_traps FOLDER [--model ViT-B-32] [--videos N]

On two cores the full store takes most of an hour with ViT-B-32. Exits 1 if anything differs.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import av
from rich.console import Console

from benchmarks.common import describe_machine
from pipelines.ingest import IngestRequest, run
from vimoclip.store.feature_store import FeatureStore

FPS = 5.0
STEP = 4
console = Console(soft_wrap=True)


def plain_rule(path: str) -> list[int]:
    """Numbers of the decoded frames that begin a new fifth of a second, from presentation times alone."""
    stored: list[int] = []
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        times = [frame.time for frame in container.decode(stream)]
    seen = -1
    for n, time_s in enumerate(times):
        slot = int((time_s - times[0] + 0.0005) * FPS + 1e-6)  # see vimoclip.config.store.Sampling
        if slot > seen:
            seen = slot
            stored.append(n)
    return stored


def main() -> int:
    """Run it all; 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--videos", type=int, help="only the first N")
    arguments = parser.parse_args()
    console.print(describe_machine())
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        some, full = Path(place, "some"), Path(place, "full")
        limit = arguments.videos
        models = {"clip": {"model": arguments.model, "weights": "none"}, "flow": {"estimator": "dis"}}
        request = IngestRequest(
            paths=[arguments.folder], store=some, asked=models | {"sampling": {"fps": FPS}}, limit=limit
        )
        began = time.perf_counter()
        report = run(request)
        console.print(f"--fps 5: {report.ingested} videos, {report.frames} frames, {time.perf_counter() - began:.0f} s")
        again = run(request) if limit is None else report
        console.print(f"second run: {again.known} known, {again.ingested} ingested")
        wrong += bool(report.failed) + (limit is None and again.ingested)
        store = FeatureStore.open(some)
        paths = {row.video_id: row.path for row in store.rows()}
        for video_id, path in paths.items():
            stored = store.sequence(video_id, ["source_frame"])["source_frame"].to_pylist()
            wrong += stored != plain_rule(path)
        console.print(f"{len(paths)} videos against a plain decode and the rule: {wrong} differ")
        compared: dict[str, int] = {}
        frames = 0
        began = time.perf_counter()
        while len(compared) < len(paths):  # a few videos at a time, so that a run that is cut short has said something
            step = min(STEP, len(paths) - len(compared))
            report = run(IngestRequest([arguments.folder], full, asked=models, limit=step))
            wrong += bool(report.failed)
            frames += report.frames
            whole = FeatureStore.open(full)
            for video_id in {row.video_id for row in whole.rows()} - compared.keys():
                part, all_of_it = (x.sequence(video_id) for x in (store, whole))
                rows = part["source_frame"].to_numpy()
                for name in ("clip", "moclip", "clip_norm", "moclip_norm", "flow_speed", "time_s"):
                    wrong += not part[name].combine_chunks().equals(all_of_it.take(rows)[name].combine_chunks())
                compared[video_id] = len(rows)
            console.print(
                f"all {frames} frames of {len(compared)} videos, {time.perf_counter() - began:.0f} s: "
                f"{sum(compared.values())} frames are in both stores, {wrong} columns differ"
            )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
