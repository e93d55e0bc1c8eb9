"""The faults of benchmarks/reliability/faults.py: what harms a run, how it may then end, and when it strikes."""

import collections
import random
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.reliability.harms import interrupt, full_disk, read_only, nothing, to_driver, to_child, damage
from benchmarks.reliability.harms import Harm

RAY = ("--engine", "ray", "--workers", "2")
ALONE = ("--engine", "in-process")
ACTOR, DECODER = "ray::Actor", "vimoclip.video.decoder_process"


@dataclass(frozen=True)
class Kind:
    """A fault. ends: the exit statuses that it may lead to, and what is then said. settings: of the command, beside its
    engine. retry: whether it may fail a video."""

    harm: Harm
    ends: dict[int, str]
    engine: tuple[str, ...] = ALONE
    settings: tuple[str, ...] = ()
    retry: bool = False


_GOES_ON = "the same command goes on from there"
KINDS = {
    "kill -9 of the driver": Kind(to_driver(signal.SIGKILL), {-signal.SIGKILL: ""}),
    "kill -9 of the driver, Ray": Kind(to_driver(signal.SIGKILL), {-signal.SIGKILL: ""}, RAY),
    "kill -9 of an actor": Kind(to_child(ACTOR, signal.SIGKILL), {0: ""}, RAY),
    "kill -9 of a decoder": Kind(to_child(DECODER, signal.SIGKILL), {0: "", 3: "decoder-crashed"}, retry=True),
    # Its actors outlive it by a second or two: what is left of a run may be done in that.
    "kill -9 of the raylet": Kind(to_child("raylet", signal.SIGKILL), {0: "", 1: _GOES_ON}, RAY),
    "Ctrl-C": Kind(interrupt, {130: _GOES_ON}),
    "Ctrl-C, Ray": Kind(interrupt, {130: _GOES_ON}, RAY),
    "full disk": Kind(full_disk, {1: "No space is left"}),
    "read-only store": Kind(read_only, {1: "cannot be written to"}),
    "truncated manifest": Kind(damage("manifest"), {-signal.SIGKILL: ""}),
    "truncated data file": Kind(damage("data"), {-signal.SIGKILL: ""}),
    "memory out": Kind(nothing, {0: ""}),
    "memory out, Ray": Kind(nothing, {0: ""}, RAY),
    "an actor hangs": Kind(to_child(ACTOR, signal.SIGSTOP), {0: ""}, RAY, ("--timeout", "5")),
    "a decoder hangs": Kind(
        to_child(DECODER, signal.SIGSTOP), {0: "", 3: "timed-out"}, settings=("--timeout", "5"), retry=True
    ),
}


@dataclass(frozen=True)
class Fault:
    """One fault. kind: of KINDS. at: how far into the run, [0, 1). seed: of whatever else there is to choose."""

    kind: str
    at: float
    seed: int


def plan(count: int, seed: int, kinds: Iterable[str] = KINDS) -> list[Fault]:
    """So many faults, dealt evenly over the kinds; those of a kind are spread over the run, one to each part of it."""
    rng, names = random.Random(seed), list(kinds)
    rng.shuffle(names)
    dealt = collections.Counter(names[n % len(names)] for n in range(count))
    faults = [
        Fault(kind, (n + rng.random()) / own, rng.randrange(1 << 30)) for kind, own in dealt.items() for n in range(own)
    ]
    rng.shuffle(faults)
    return faults
