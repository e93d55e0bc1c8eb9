"""A clip of the savannah: what it shows, drawn from a seed, and its frames and flow; and folders of clips.

`plan` draws the scenes of a folder, and `write_folder` writes them as users have them: H.264 files and a labels.csv
(docs/labels.md). The camera moves by whole pixels, so that the background of a clip is painted once and only cut out.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from schemas.labels import Span
from vimoclip.errors import ConfigError
from vimoclip.savannah import render
from vimoclip.savannah.behaviours import BEHAVIOURS, CASTS, FPS, SIZE, STEADY, FrameSpan, Setting, perform
from vimoclip.savannah.behaviours import Behaviour as BehaviourName
from vimoclip.savannah.habitats import HABITATS, LIGHTS, WEATHERS, Habitat, Light, Weather, background, horizon_of, rain
from vimoclip.savannah.skeleton import Track
from vimoclip.video.encode import write_clip

Camera = Literal["still", "panning", "shaking"]

CAMERAS: tuple[Camera, ...] = get_args(Camera)
PAN = 1
"""Pixels per frame."""
SHAKE = 3
"""Pixels to each side, at most."""


def camera_path(camera: Camera, frames_count: int, heading: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """The frame's top left corner in the scene, by frame. A panning camera is at (0, 0) halfway through the clip.

    Args:
        camera: how it moves.
        frames_count: length of the clip.
        heading: +1 or -1, the direction of a panning camera.
        rng: every random choice comes from it.
    """
    if camera == "panning":
        return [(heading * PAN * (t - frames_count // 2), 0) for t in range(frames_count)]
    if camera == "still":
        return [(0, 0)] * frames_count
    x = y = 0
    out = []
    for dx, dy in rng.integers(-1, 2, (frames_count, 2)).tolist():
        x, y = min(SHAKE, max(-SHAKE, x + dx)), min(SHAKE, max(-SHAKE, y + dy))
        out.append((x, y))
    return out


def camera_margin(frames_count: int) -> int:
    """Pixels that a scene must reach beyond the frame on each side, for every camera."""
    return PAN * (frames_count // 2 + 1) + SHAKE


FRAMES = 48
SPLITS = ("train", "test", "train", "val", "train")  # in turn, so that two clips of a behaviour already fill two splits

_LOOK, _MOTION, _CAMERA, _PAINT, _RAIN = range(5)  # random streams: none depends on how much another drew

_PHRASES = {
    "walking": "walking {through}", "stalking": "stalking {through}", "flying": "flying low over {place}",
    "jumping": "jumping {through}", "lying down": "lying down {in}", "getting up": "getting up {in}",
    "approaching": "approaching the camera {through}", "retreating": "walking away from the camera {through}",
    "grazing": "grazing {in}", "drinking": "drinking {in}", "running": "running {through}", "resting": "resting {in}",
    "standing": "standing {in}", "head shaking": "shaking its head {in}", "digging": "digging {in}",
    "preening": "preening {in}",
}  # fmt: skip
_IN = {
    "grassland": "in the grassland",
    "desert": "in the desert",
    "waterhole": "at a waterhole",
    "woodland": "in the woodland",
}
_THROUGH = {
    "grassland": "through grassland",
    "desert": "across the desert",
    "waterhole": "along a waterhole",
    "woodland": "through woodland",
}
_LIGHT = {"dawn": "at dawn", "noon": "at noon", "dusk": "at dusk", "night": "at night"}
_WEATHER = {"clear": "under a clear sky", "rain": "in the rain", "fog": "in fog", "dust": "in blowing dust"}


@dataclass(frozen=True)
class Scene:
    """One clip.

    Attributes:
        name: a POSIX path without its suffix; it does not say what the clip shows.
        split: `train`, `val` or `test`.
        seed: of everything random in the clip.
        behaviour: what the clip was made for.
        species: of one animal, or of two.
        habitat: where it is set.
        light: its light.
        weather: its weather.
        camera: how the camera moves.
        facing: +1 where the animal looks to the right, -1 to the left.
        frames_count: length of the clip.
    """

    name: str
    split: str
    seed: int
    behaviour: BehaviourName
    species: tuple[str, ...]
    habitat: Habitat
    light: Light
    weather: Weather
    camera: Camera
    facing: int
    frames_count: int = FRAMES

    @property
    def spans(self) -> tuple[Span, ...]:
        """What the clip shows and when, by the starts."""
        return tuple(Span(label, start / FPS, end / FPS) for label, start, end in self._performance[1])

    @property
    def caption(self) -> str:
        """One plain sentence that says what the clip shows."""
        place = _IN[self.habitat].split(" ", 1)[1]
        words = {"in": _IN[self.habitat], "through": _THROUGH[self.habitat], "place": place}
        who = _article(self.species[0])
        when = f"{_LIGHT[self.light]} {_WEATHER[self.weather]}"
        other = ""
        if len(self.species) > 1:
            same = self.species[0] == self.species[1]
            other = f"another {self.species[1]}" if same else _article(self.species[1])
        if self.behaviour in ("chasing", "following"):
            return f"{who.capitalize()} is {self.behaviour} {other} {words['through']} {when}."
        what = _PHRASES[self.behaviour].format(**words)
        return f"{who.capitalize()} is {what} {f'beside {other} ' if other else ''}{when}."

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The frames, uint8 (H, W, 3) RGB, one by one, each a fresh array."""
        return render.frames(self.stage())

    def flows(self) -> Iterator[NDArray[np.float32]]:
        """The exact flow from frame t - 1 to frame t, for t from 1, as vimoclip/flow has it.

        Yields:
            float32 (H, W, 2) on the grid of frame t - 1: u to the right and v down, in pixels.
        """
        return render.flows(self.stage())

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Where the animals are and how they hold themselves: the truth behind the frames."""
        return tuple(self._performance[0])

    @cached_property
    def _horizon(self) -> float:
        return horizon_of(_rng(self.seed, _PAINT))

    @cached_property
    def _performance(self) -> tuple[list[Track], list[FrameSpan]]:
        pan = PAN if self.camera == "panning" else 0
        setting = Setting(self.frames_count, self.facing, pan, self._horizon)
        return perform(self.behaviour, self.species, setting, _rng(self.seed, _MOTION))

    def stage(self) -> render.Stage:
        """What the frames are drawn from; the background is painted anew at each call."""
        tracks = self.tracks
        corners = camera_path(self.camera, self.frames_count, self.facing, _rng(self.seed, _CAMERA))
        shore = max(moment.y for track in tracks for moment in track.moments) + 3
        paint = _rng(self.seed, _PAINT)
        horizon_of(paint)
        margins = (camera_margin(self.frames_count), SHAKE)
        scenery = background(self.habitat, self.light, self.weather, SIZE, margins, self._horizon, shore, paint)
        wet = rain(SIZE, _rng(self.seed, _RAIN)) if self.weather == "rain" else None
        return render.Stage(SIZE, scenery, tracks, tuple(corners), self.light, self.weather, wet)


def plan(count: int, seed: int = 0, behaviours: Sequence[str] = BEHAVIOURS) -> list[Scene]:
    """Draw the scenes of a folder. A larger count keeps the scenes of a smaller one.

    Behaviours come in shuffled rounds, and the splits of each in turn: of five clips of a behaviour three are for
    training, one is for validation and one for test.

    Args:
        count: the number of scenes.
        seed: of the folder.
        behaviours: the behaviours to show.

    Raises:
        ConfigError: a count below 0; a behaviour that is unknown or named twice; or no behaviours.
    """
    if count < 0:
        raise ConfigError("The number of clips cannot be negative.", received=count, expected="0 or more")
    unknown = [name for name in behaviours if name not in BEHAVIOURS]
    if unknown:
        raise ConfigError("No such behaviour.", received=unknown[0], expected=" or ".join(BEHAVIOURS))
    if not behaviours or len(set(behaviours)) < len(behaviours):
        raise ConfigError("Each behaviour is named once.", received=list(behaviours), expected="at least one")
    scenes = []
    for n in range(count):
        turn, within = divmod(n, len(behaviours))
        order = _rng(seed, turn).permutation(len(behaviours))
        number = int(order[within])
        split = SPLITS[(turn + number) % len(SPLITS)]
        own = int(np.random.SeedSequence([seed, 1 << 20, n]).generate_state(1, np.uint64)[0])
        scenes.append(_scene(f"clip-{n:04d}", split, own, behaviours[number]))
    return scenes


def _scene(name: str, split: str, seed: int, behaviour: str) -> Scene:
    assert behaviour in BEHAVIOURS
    what: BehaviourName = behaviour
    rng = _rng(seed, _LOOK)
    casts = CASTS[what]
    cast = casts[int(rng.integers(len(casts)))]
    habitat = HABITATS[int(rng.integers(len(HABITATS)))]
    light = LIGHTS[int(rng.choice(len(LIGHTS), p=(0.25, 0.35, 0.25, 0.15)))]
    weather = WEATHERS[int(rng.choice(len(WEATHERS), p=(0.55, 0.15, 0.15, 0.15)))]
    camera = CAMERAS[int(rng.choice(len(CAMERAS), p=(0.6, 0.2, 0.2)))]
    facing = 1 if rng.uniform() < 0.5 else -1
    company = float(rng.uniform())
    if what == "drinking":
        habitat = "waterhole"
    elif what in STEADY and company < 0.3:
        cast = (*cast, cast[0])
    return Scene(name, split, seed, what, cast, habitat, light, weather, camera, facing)


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream])))


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


COLUMNS = (
    "filepath",
    "label",
    "start_s",
    "end_s",
    "split",
    "species",
    "habitat",
    "light",
    "weather",
    "camera",
    "caption",
)


def write_folder(
    folder: Path,
    count: int,
    seed: int = 0,
    behaviours: Sequence[str] = BEHAVIOURS,
    written: Callable[[], None] = lambda: None,
) -> list[Scene]:
    """Write `<folder>/<name>.mp4` for each scene of `plan`, and then `<folder>/labels.csv`, with one row per span.

    Args:
        folder: where to; created if need be.
        count: see `plan`.
        seed: see `plan`.
        behaviours: see `plan`.
        written: called after each clip.

    Returns:
        The scenes.

    Raises:
        ConfigError: see `plan`.
    """
    scenes = plan(count, seed, behaviours)
    folder.mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        write_clip(folder / f"{scene.name}.mp4", scene.frames(), FPS)
        written()
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for scene in scenes:
            rest = ("; ".join(scene.species), scene.habitat, scene.light, scene.weather, scene.camera, scene.caption)
            for span in scene.spans:
                times = (f"{span.start_s:.6g}", f"{span.end_s:.6g}")
                writer.writerow((f"{scene.name}.mp4", span.label, *times, scene.split, *rest))
    return scenes
