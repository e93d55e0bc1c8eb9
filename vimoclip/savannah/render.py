"""From a stage to its frames, and to the exact flow between them.

Each part of an animal has a texture, made once per species: its outlines filled, painted, and shaded as if rounded. A
frame looks it up through the inverse of the part's affine map, in whole numbers, at several places per pixel. The flow
follows from the same maps: a point of a part goes from map(t-1) to map(t); the background goes with the camera. Rain,
haze and the animals' shadows are not things: where they are, the flow is that of what they cover.

All arithmetic that reaches a pixel is on integers, or on doubles with single correctly rounded operations, so that
every machine makes the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vimoclip.savannah.drawing import Affine, Grid, Point, apply, compose, invert
from vimoclip.savannah.habitats import SKIES, Background, Light, Weather, hazy, lit, over
from vimoclip.savannah.skeleton import Moment, Part, Track, pose_parts
from vimoclip.savannah.species import species

RESOLUTION = 2
"""Texels per animal unit."""

_FINE_TEXTURE = 4
_MARGIN = 2


@dataclass(frozen=True)
class Texture:
    """The picture of a part.

    Attributes:
        rgba: uint8 (h, w, 4), alpha 0 or 255, all zero where alpha is 0.
        origin: the outer corner of the top left texel in the part's plane, in animal units.
    """

    rgba: NDArray[np.uint8]
    origin: Point


def spline(points: tuple[Point, ...], smooth: bool, pieces: int = 6) -> NDArray[np.float64]:
    """A closed Catmull-Rom spline through the points, float64 (n, 2); or the points themselves."""
    p = np.asarray(points, np.float64)
    if not smooth:
        return p
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    out = []
    for n in range(pieces):
        t = n / pieces
        a, b = -0.5 * t + t * t - 0.5 * t * t * t, 1 - 2.5 * t * t + 1.5 * t * t * t
        c, d = 0.5 * t + 2 * t * t - 1.5 * t * t * t, -0.5 * t * t + 0.5 * t * t * t
        out.append(a * before + b * p + c * after + d * beyond)
    return np.stack(out, 1).reshape(-1, 2)


@cache
def textures(name: str) -> tuple[Texture, ...]:
    """The texture of each part of a species, in the order of its parts."""
    return tuple(_texture(part) for part in species(name).parts)


def _texture(part: Part) -> Texture:
    outlines = [spline(shape.points, shape.smooth) for shape in part.shapes]
    everything = np.concatenate(outlines)
    low, high = np.floor(everything.min(0)) - _MARGIN, np.ceil(everything.max(0)) + _MARGIN
    width, height = (int(side) * RESOLUTION for side in high - low)
    y, x = np.mgrid[:height, :width]
    x, y = (x + 0.5) / RESOLUTION + low[0], (y + 0.5) / RESOLUTION + low[1]
    colour = np.zeros((height, width, 3))
    covered = np.zeros((height, width), bool)
    for shape, outline in zip(part.shapes, outlines, strict=True):
        inside = _fill(outline, low, (width, height))
        colour[inside] = shape.paint(x, y)[inside]
        covered |= inside
    lit = colour * (_relief(covered) * part.shade)[..., None]
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., :3] = np.rint(np.clip(lit, 1, 255))
    rgba[..., 3] = 255
    rgba[~covered] = 0
    rgba.flags.writeable = False
    return Texture(rgba, (float(low[0]), float(low[1])))


def _fill(outline: NDArray[np.float64], low: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Texels of which the outline holds half or more."""
    width, height = size
    scale = RESOLUTION * _FINE_TEXTURE
    # A texel's centre is half a pixel from its corner; 4 bits of fixed point.
    corners = np.rint(((outline - low) * scale - 0.5) * 16).astype(np.int32)
    mask = np.zeros((height * _FINE_TEXTURE, width * _FINE_TEXTURE), np.uint8)
    cv2.fillPoly(mask, [corners], 1, shift=4)
    blocks = mask.reshape(height, _FINE_TEXTURE, width, _FINE_TEXTURE).astype(np.int64).sum((1, 3))
    return np.asarray(blocks * 2 >= _FINE_TEXTURE * _FINE_TEXTURE)


def _relief(covered: NDArray[np.bool_]) -> Grid:
    """Brightness of a rounded body with that outline, lit from above and a little from the front: about 0.6 to 1.15."""
    ys, xs = np.nonzero(covered)
    thin = min(np.ptp(ys), np.ptp(xs)) + 1
    radius = int(np.clip(thin // 7, 2, 9))
    height = covered.astype(np.int64) * 256
    for _ in range(3):
        height = _blurred(_blurred(height, radius).T, radius).T
    raised = np.where(covered, height, 0) / 256.0
    padded = np.pad(height, 1, mode="edge") / 256.0
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) * radius
    right = (padded[1:-1, 2:] - padded[1:-1, :-2]) * radius
    # Where the ground rises downwards, its face looks up, to the light.
    light = 0.42 * down - 0.10 * right
    return np.clip(0.74 + 0.26 * raised + np.clip(light, -0.3, 0.22), 0.42, 1.22)


def _blurred(values: NDArray[np.int64], radius: int) -> NDArray[np.int64]:
    """The mean over 2·radius + 1 rows, in whole numbers; beyond the border is 0."""
    size = 2 * radius + 1
    padded = np.pad(values, ((radius + 1, radius), (0, 0)))
    sums = padded.cumsum(0)
    return np.asarray((sums[size:] - sums[:-size]) // size)


Image = NDArray[np.uint8]
Flow = NDArray[np.float32]

_FINE = 2
"""Places along each side at which a pixel is looked up."""
_ONE = 1 << 16
_FARTHER = 0.3
"""The part of the horizon's haze that lies before an animal."""


@dataclass(frozen=True)
class Stage:
    """Everything that a clip shows.

    Attributes:
        size: width and height of a frame, pixels.
        background: the painted background.
        tracks: the animals, the farthest first.
        corners: the frame's top left corner in the scene, by frame.
        light: the light of the clip.
        weather: the weather of the clip.
        rain: streaks to add to each frame; None without rain.
    """

    size: tuple[int, int]
    background: Background
    tracks: tuple[Track, ...]
    corners: tuple[Point, ...]
    light: Light
    weather: Weather
    rain: Image | None


@dataclass(frozen=True)
class _Layer:
    """An animal in one frame: what is seen of it at (x, y) of the frame. rgba: colours times alpha.

    owner: which part each pixel shows, -1 for none.
    """

    x: int
    y: int
    rgba: Image
    owner: NDArray[np.int16]


def frames(stage: Stage) -> Iterator[Image]:
    """The frames, uint8 (height, width, 3) RGB, each a fresh array."""
    animals = [_Animal(track, stage) for track in stage.tracks]
    for t in range(len(stage.corners)):
        yield _frame(stage, animals, t)


def flows(stage: Stage) -> Iterator[Flow]:
    """The flow from frame t - 1 to frame t, for t from 1.

    Yields:
        float32 (height, width, 2): u to the right and v down, in pixels.
    """
    animals = [_Animal(track, stage) for track in stage.tracks]
    for t in range(1, len(stage.corners)):
        yield _flow(stage, animals, t)


def _frame(stage: Stage, animals: "list[_Animal]", t: int) -> Image:
    image = _cut(stage.background.picture, stage, t)
    for animal in animals:
        animal.shadow(image, t)
    front = _cut(stage.background.front, stage, t)
    layers = [layer for animal in animals if (layer := animal.layer(t)) is not None]
    for layer in layers:
        box = _box(layer)
        image[box] = over(image[box], layer.rgba)
    for layer in layers:
        # What grows in front is in the picture already, and has to come back where an animal was drawn over it.
        box = _box(layer)
        hidden = np.where(layer.rgba[..., 3:] > 0, front[box], 0)
        if hidden.any():
            image[box] = over(image[box], hidden)
    if stage.rain is not None:
        height, width = stage.rain.shape[:2]
        image = np.asarray(cv2.add(image, np.roll(stage.rain, (17 * t % height, -4 * t % width), (0, 1))), np.uint8)
    return image


def _flow(stage: Stage, animals: "list[_Animal]", t: int) -> Flow:
    width, height = stage.size
    flow = np.empty((height, width, 2), np.float32)
    flow[:] = [before - after for before, after in zip(stage.corners[t - 1], stage.corners[t], strict=True)]
    front = _cut(stage.background.front, stage, t - 1)[..., 3]
    for animal in animals:
        layer = animal.layer(t - 1)
        if layer is None:
            continue
        box = _box(layer)
        ys, xs = np.nonzero((layer.owner >= 0) & (front[box] < 128))
        steps = np.array(animal.steps(t))[layer.owner[ys, xs]]
        x, y = (xs + layer.x).astype(np.float64), (ys + layer.y).astype(np.float64)
        part = flow[box]
        part[ys, xs, 0] = steps[:, 0] * x + steps[:, 1] * y + steps[:, 2]
        part[ys, xs, 1] = steps[:, 3] * x + steps[:, 4] * y + steps[:, 5]
    return flow


def _cut(picture: Image, stage: Stage, t: int) -> Image:
    """A fresh copy of what the frame shows of it."""
    x, y = (int(corner + origin) for corner, origin in zip(stage.corners[t], stage.background.origin, strict=True))
    return picture[y : y + stage.size[1], x : x + stage.size[0]].copy()


def _box(layer: _Layer) -> tuple[slice, slice]:
    height, width = layer.owner.shape
    return slice(layer.y, layer.y + height), slice(layer.x, layer.x + width)


class _Animal:
    """One track, with its textures in the stage's light."""

    def __init__(self, track: Track, stage: Stage) -> None:
        self._track, self._stage = track, stage
        self._species = species(track.species)
        self._textures = [_in_light(texture, stage) for texture in textures(track.species)]
        hidden = {"folded"} if track.flying else {"spread", "spread-far"}
        self._drawn = [n for n, part in enumerate(self._species.parts) if part.name not in hidden]
        self._maps: dict[int, list[Affine]] = {}

    def maps(self, t: int) -> list[Affine]:
        """From each part's plane to the frame's pixels."""
        if t not in self._maps:
            who, moment = self._species, self._track.moments[t]
            parts = pose_parts(who.parts, who.legs, who.stance, moment.pose)
            view = self._view(moment, t)
            self._maps = {k: v for k, v in self._maps.items() if k == t - 1}
            self._maps[t] = [compose(view, part) for part in parts]
        return self._maps[t]

    def _view(self, moment: Moment, t: int) -> Affine:
        left, top = self._stage.corners[t]
        along = moment.facing * moment.squash * moment.scale
        return along, 0.0, moment.x - left, 0.0, moment.scale, moment.y - moment.lift - top

    def steps(self, t: int) -> list[Affine]:
        """Of each part: where a pixel that shows it in frame t - 1 is in frame t, less where it was."""
        out = []
        for before, after in zip(self.maps(t - 1), self.maps(t), strict=True):
            a, b, c, d, e, f = compose(after, invert(before))
            out.append((a - 1, b, c, d, e - 1, f))
        return out

    def layer(self, t: int) -> _Layer | None:
        """What is seen of the animal in frame t; None where all of it is outside."""
        maps = self.maps(t)
        corners = [_corners(maps[n], self._textures[n]) for n in self._drawn]
        width, height = self._stage.size
        left = max(0, int(min(c[0] for c in corners)) - 1)
        top = max(0, int(min(c[1] for c in corners)) - 1)
        right = min(width, int(max(c[2] for c in corners)) + 2)
        bottom = min(height, int(max(c[3] for c in corners)) + 2)
        if right <= left or bottom <= top:
            return None
        fine = np.zeros(((bottom - top) * _FINE, (right - left) * _FINE), np.uint32)
        owner = np.full(fine.shape, -1, np.int16)
        for n, (x0, y0, x1, y1) in zip(self._drawn, corners, strict=True):
            first = max(0, (int(x0) - 1 - left) * _FINE), max(0, (int(y0) - 1 - top) * _FINE)
            last = min(fine.shape[1], (int(x1) + 2 - left) * _FINE), min(fine.shape[0], (int(y1) + 2 - top) * _FINE)
            if last[0] <= first[0] or last[1] <= first[1]:
                continue
            texels = _look_up(self._textures[n], maps[n], (left, top), first, last)
            box = slice(first[1], last[1]), slice(first[0], last[0])
            seen = texels != 0
            np.copyto(fine[box], texels, where=seen)
            np.copyto(owner[box], np.int16(n), where=seen)
        colours = fine.view(np.uint8).reshape(*fine.shape, 4)
        rgba = np.asarray(cv2.resize(colours, (right - left, bottom - top), interpolation=cv2.INTER_AREA), np.uint8)
        return _Layer(left, top, rgba, _middle(owner, rgba))

    def shadow(self, image: Image, t: int) -> None:
        """Darken the ground below the animal; the higher it is in the air, the wider and fainter."""
        moment = self._track.moments[t]
        left, top = self._stage.corners[t]
        high = moment.lift / 60
        rx = moment.scale * moment.squash * (50 + 14 * high)
        ry = moment.scale * (9 + 3 * high)
        x, y = moment.x - left, moment.y - top + 0.5
        rows = slice(max(0, int(y - ry)), min(image.shape[0], int(y + ry) + 2))
        columns = slice(max(0, int(x - rx)), min(image.shape[1], int(x + rx) + 2))
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return
        across = ((np.arange(columns.start, columns.stop) - x) / rx) ** 2
        down = ((np.arange(rows.start, rows.stop) - y) / ry) ** 2
        strength = (
            SKIES[self._stage.light].shadow
            * (1.0 if self._stage.weather in ("clear", "dust") else 0.6)
            / (1 + 0.6 * high)
        )
        dark = np.rint(256 * strength * 1.5 * np.clip(1 - across[None] - down[:, None], 0, 0.6)).astype(np.uint16)
        part = image[rows, columns]
        part[:] = (part * (256 - dark)[..., None]) >> 8


def _in_light(texture: Texture, stage: Stage) -> Texture:
    rgba = texture.rgba.copy()
    colours = hazy(lit(texture.rgba[..., :3].astype(np.float64), stage.light), stage.light, stage.weather, _FARTHER)
    seen = rgba[..., 3] > 0
    rgba[seen, :3] = np.rint(np.clip(colours, 1, 255)).astype(np.uint8)[seen]
    return Texture(rgba, texture.origin)


def _corners(map_: Affine, texture: Texture) -> tuple[float, float, float, float]:
    """The least and the greatest x and y of the texture's corners in the frame."""
    height, width = (side / RESOLUTION for side in texture.rgba.shape[:2])
    x, y = texture.origin
    points = [apply(map_, corner) for corner in ((x, y), (x + width, y), (x, y + height), (x + width, y + height))]
    return min(p[0] for p in points), min(p[1] for p in points), max(p[0] for p in points), max(p[1] for p in points)


def _look_up(
    texture: Texture, map_: Affine, corner: tuple[int, int], first: tuple[int, int], last: tuple[int, int]
) -> NDArray[np.uint32]:
    """The texels at the places from `first` up to, and without, `last`; place (0, 0) is in the pixel at `corner`."""
    to_texels = (RESOLUTION, 0.0, -RESOLUTION * texture.origin[0], 0.0, RESOLUTION, -RESOLUTION * texture.origin[1])
    half = 0.5 / _FINE - 0.5
    to_pixels = (1 / _FINE, 0.0, corner[0] + half, 0.0, 1 / _FINE, corner[1] + half)
    a, b, c, d, e, f = (round(value * _ONE) for value in compose(compose(to_texels, invert(map_)), to_pixels))
    x, y = np.arange(first[0], last[0], dtype=np.int64), np.arange(first[1], last[1], dtype=np.int64)[:, None]
    places = np.empty((last[1] - first[1], last[0] - first[0], 2), np.int16)
    for axis, (p, q, r) in enumerate(((a, b, c), (d, e, f))):
        places[..., axis] = np.clip((((p * x)[None] + (q * y + r)) >> 16), -1, 32767)
    found = cv2.remap(texture.rgba, places, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)  # type: ignore[call-overload]
    return np.asarray(found, np.uint8).view(np.uint32)[..., 0]


def _middle(owner: NDArray[np.int16], rgba: Image) -> NDArray[np.int16]:
    """Of each pixel the part that its middle shows, where the animal covers half of it or more."""
    seen = owner[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE].copy()
    other = owner[_FINE // 2 - 1 :: _FINE, _FINE // 2 - 1 :: _FINE]
    np.copyto(seen, other, where=seen < 0)
    seen[rgba[..., 3] < 128] = -1
    return seen
