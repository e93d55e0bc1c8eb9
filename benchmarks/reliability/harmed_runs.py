"""A run that is harmed by a fault: what became of the store, and of the same command after it.

Held against what a run leaves that nobody harmed. See benchmarks/reliability/faults.py.
"""

import contextlib
import random
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.command import ROOT, Watch, finish, start, survivors
from benchmarks.reliability.harms import nothing, full_disk, read_only, is_root, small_disk
from benchmarks.reliability.aftermath import contents, differences
from benchmarks.reliability.fault_kinds import ALONE, KINDS, RAY, Fault, Kind
from benchmarks.reliability.harms import Scene, can_mount

CLIPS = 12
BATCH = 4
EVERY = 8
MOST_WITH_LITTLE_MEMORY = 3
PROMPT_S = 5.0
"""How soon an interrupted command must have ended."""
VICTIM = "benchmarks.reliability.faults", "--victim"


@dataclass(frozen=True)
class World:
    """What is run and harmed. folder: for stores. contents, frames: what a run leaves that nobody harms."""

    folder: Path
    arguments: list[str]
    contents: dict[str, str]
    frames: int


@dataclass
class Outcome:
    """What a fault led to; every list is empty where all is well. ended_s: from the harm to the command's end. seconds:
    all of it took. differs: from the run that nobody harmed. faults: by `verify`. left: processes. skipped: why."""

    fault: Fault
    ended_s: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def good(self) -> bool:
        """Whether all is well."""
        return not (self.wrong or self.differs or self.faults or self.left or self.skipped)


def world(clips: list[Path], folder: Path) -> World:
    """Choose clips, write a model, and ingest them with nobody harming anything."""
    from pipelines.ingest_plan import discover
    from tests.models import write_tiny_clip

    found = sorted(discover(clips).videos, key=lambda video: (video.bytes, video.video_id))[:CLIPS]
    for n, video in enumerate(found):
        (folder / "clips").mkdir(exist_ok=True)
        shutil.copyfile(video.path, folder / "clips" / f"{n:02d}{Path(video.path).suffix}")
    model = write_tiny_clip(folder / "model")
    arguments = ["ingest", str(folder / "clips"), "--clip-model", model, "--batch-size", str(BATCH)]
    arguments += ["--precision", "fp32", "--every", str(EVERY), "--flow", "dis"]
    store = folder / "unharmed"
    command = start([*arguments, *ALONE, "--store", str(store)], VICTIM)
    said = finish(command)
    frames = [int(count) for count in re.findall(r"(\d+) frames so far", said)]
    if command.returncode not in (0, 3) or not frames:
        raise RuntimeError(f"An ingest that nobody harmed ended with {command.returncode}: {said}")
    return World(folder, arguments, contents(store), frames[-1])


def strike(world: World, fault: Fault, name: str) -> Outcome:
    """Harm one run, look, run again, look. name: of its folder, which is left where something is off."""
    began, kind, outcome = time.monotonic(), KINDS[fault.kind], Outcome(fault)
    needs_mount = kind.harm is full_disk or (kind.harm is read_only and is_root())
    if needs_mount and not can_mount():
        outcome.skipped = "it wants a file system of its own, and nothing can be mounted here"
        return outcome
    folder = world.folder / name
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        if kind.harm is full_disk:
            stack.enter_context(small_disk(folder))
        _strike(world, fault, kind, folder, outcome)
    outcome.seconds = time.monotonic() - began
    if outcome.good:
        shutil.rmtree(folder)
    return outcome


def _strike(world: World, fault: Fault, kind: Kind, folder: Path, outcome: Outcome) -> None:
    arguments, store, at, said = [*world.arguments, *kind.settings], folder, fault.at, ""
    for attempt in range(5):
        store = folder / f"store-{attempt}"
        own = [*arguments, *kind.engine, "--store", str(store)]
        command = start(own, VICTIM, _scarce(kind, at, world.frames))
        scene = Scene(command, store, own, random.Random(fault.seed))
        frames = 1 + int(at * world.frames)
        watch = Watch(command, lambda line, frames=frames: _count(line) >= frames)  # type: ignore[misc]
        if watch.reach():
            with kind.harm(scene):
                harmed = time.monotonic()
                said = watch.end()
                outcome.ended_s = time.monotonic() - harmed
        else:
            said = watch.end()
        if scene.harmed and (command.returncode != 0 or 0 in kind.ends):
            break
        at *= 0.7  # it was done before it could be harmed
    if not scene.harmed:
        outcome.wrong.append("it was never harmed")
    outcome.wrong += scene.wrong
    code = command.returncode
    if code not in kind.ends or kind.ends[code] not in said or "Traceback" in said or "A defect" in said:
        outcome.wrong.append(f"it ended with {code}, and said: {said[-2000:]}")
    if 130 in kind.ends and outcome.ended_s > PROMPT_S:
        outcome.wrong.append(f"it ended {outcome.ended_s:.1f} s after it was interrupted")
    outcome.left = survivors(command, 60)
    _look(store, "after the fault", outcome)
    retry = ["--retry-failed"] if kind.retry else []
    again = start([*arguments, *ALONE, "--store", str(store), *retry])
    said = finish(again)
    if again.returncode not in (0, 3):
        outcome.wrong.append(f"the rerun ended with {again.returncode}: {said[-2000:]}")
    outcome.left += survivors(again)
    _look(store, "after the rerun", outcome)
    if not outcome.faults:
        expected, found = world.contents, contents(store)
        if kind.harm is nothing:
            reduced = _reduced(found)
            if not reduced:
                outcome.wrong.append("no batch was halved")
            expected, found = _without_vectors(expected, reduced), _without_vectors(found, reduced)
        outcome.differs = differences(expected, found)


def _count(line: str) -> int:
    """How many frames a victim says that have come."""
    found = re.match(r"(\d+) frames so far", line)
    return int(found[1]) if found else 0


def _scarce(kind: Kind, at: float, frames: int) -> dict[str, str]:
    """The environment in which memory runs out so far into the run: each batch goes through two towers."""
    if kind.harm is not nothing:
        return {}
    calls = int(at * 2 * frames / BATCH / (2 if kind.engine is RAY else 1))
    return {
        "PYTHONPATH": str(ROOT / "benchmarks" / "reliability" / "scarce"),
        "VIMOCLIP_SCARCE": f"{calls}:{MOST_WITH_LITTLE_MEMORY}",
    }


def _look(store: Path, when: str, outcome: Outcome) -> None:
    from vimoclip.store.verify import verify

    after_rerun = when == "after the rerun"
    found = [fault for fault in verify(store) if after_rerun or not fault.harmless]
    outcome.faults += [f"{when}: {fault}" for fault in found]


def _reduced(held: dict[str, str]) -> set[str]:
    """Videos that are marked for a halved batch."""
    rows = ((what.removeprefix("videos "), row) for what, row in held.items() if what.startswith("videos "))
    return {video_id for video_id, row in rows if "('reduced_batch', True)" in row}


def _without_vectors(held: dict[str, str], video_ids: set[str]) -> dict[str, str]:
    """The same, without the vectors and the mark of some videos: how many they are still shows in the other columns."""
    columns = ("clip", "clip_norm", "moclip", "moclip_norm")
    vectors = {f"frames {video_id} {column}" for video_id in video_ids for column in columns}
    kept = {what: value for what, value in held.items() if what not in vectors}
    for video_id in video_ids:
        row = kept[f"videos {video_id}"]
        kept[f"videos {video_id}"] = re.sub(r"\('reduced_batch', \w+\)", "('reduced_batch', ...)", row)
    return kept
