"""Backgrounds: sky, hills, trees, ground and foreground, painted once per clip and larger than the frame.

Also light and weather, by what they do to colours, and the rain that falls through the picture.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from vimoclip.savannah.drawing import Colour, Grid, cover, darker, ellipse, lay, mix, noise

Light = Literal["dawn", "noon", "dusk", "night"]
Weather = Literal["clear", "rain", "fog", "dust"]

LIGHTS: tuple[Light, ...] = get_args(Light)
WEATHERS: tuple[Weather, ...] = get_args(Weather)


@dataclass(frozen=True)
class Sky:
    """A sky, and what its light does.

    Attributes:
        zenith: the sky's colour above.
        rim: the sky's colour at the horizon.
        gains: factors of red, green and blue in this light.
        disc: the colour of the sun or the moon.
        glow: how far its halo reaches, pixels.
        shadow: how dark shadows are, 0 to 1.
    """

    zenith: Colour
    rim: Colour
    gains: tuple[float, float, float]
    disc: Colour
    glow: float
    shadow: float


SKIES: dict[Light, Sky] = {
    "dawn": Sky((126, 156, 204), (255, 206, 176), (1.0, 0.9, 0.84), (255, 238, 206), 62, 0.34),
    "noon": Sky((84, 150, 222), (196, 224, 240), (1.0, 1.0, 0.98), (255, 252, 236), 40, 0.5),
    "dusk": Sky((92, 72, 128), (255, 146, 74), (1.0, 0.76, 0.6), (255, 214, 120), 80, 0.36),
    "night": Sky((12, 18, 44), (44, 62, 104), (0.46, 0.53, 0.76), (232, 236, 244), 34, 0.3),
}

_HAZES: dict[Weather, tuple[float, Colour]] = {
    "clear": (0.16, (206, 218, 228)),
    "rain": (0.42, (138, 148, 158)),
    "fog": (0.9, (214, 218, 220)),
    "dust": (0.66, (222, 190, 146)),
}
"""How much of the farthest is hidden, and by what colour."""


def haze(light: Light, weather: Weather) -> tuple[float, Colour]:
    """How much the air hides of the farthest things, 0 to 1, and its colour in that light."""
    strength, colour = _HAZES[weather]
    red, green, blue = (round(value * gain) for value, gain in zip(colour, SKIES[light].gains, strict=True))
    if weather == "clear":
        return strength, SKIES[light].rim
    return strength, (red, green, blue)


def lit(colours: Grid, light: Light) -> Grid:
    """The colours of things, float64 (..., 3), in this light."""
    return np.asarray(colours * np.asarray(SKIES[light].gains))


def hazy(colours: Grid, light: Light, weather: Weather, far: Grid | float) -> Grid:
    """Colours, float64 (h, w, 3), seen through the air. far: 0 near, 1 at the horizon."""
    strength, colour = haze(light, weather)
    return mix(colours, colour, np.broadcast_to(np.asarray(strength * far, np.float64), colours.shape[:2]))


def rain(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Streaks of rain to add to a frame: uint8 (h, w, 3), seamless when rolled around."""
    width, height = size
    drops = np.zeros((height, width), np.int64)
    count = width * height // 420
    xs, ys = rng.integers(0, width, count), rng.integers(0, height, count)
    lengths, bright = rng.integers(6, 13, count), rng.integers(16, 46, count)
    for n in range(13):
        on = lengths > n
        np.maximum.at(drops, ((ys + n) % height, (xs - n // 5) % width), np.where(on, bright, 0))
    return np.repeat(drops[..., None], 3, 2).astype(np.uint8)


Polygon: TypeAlias = NDArray[np.float64]


@dataclass
class Trees:
    """The outlines of many trees, drawn from a random stream: trunks, crowns, and the sunlit parts of the crowns."""

    rng: np.random.Generator
    trunks: list[Polygon] = field(default_factory=list)
    crowns: list[Polygon] = field(default_factory=list)
    bright: list[Polygon] = field(default_factory=list)

    def acacia(self, x: float, foot: float, tall: float) -> None:
        """Add a forked trunk under a flat crown."""
        lean, wide = float(self.rng.uniform(-0.1, 0.1)), tall * float(self.rng.uniform(0.42, 0.56))
        top, mid = foot - 0.78 * tall, x + lean * tall
        t = max(1.0, 0.028 * tall)
        left = [(x - t, foot), (x - 0.6 * t, foot - 0.5 * tall), (mid - 0.5 * wide, top), (mid - 0.44 * wide, top)]
        fork = [(x + 0.1 * t, foot - 0.42 * tall)]
        right = [
            (mid + 0.46 * wide, top),
            (mid + 0.54 * wide, top),
            (x + 0.9 * t, foot - 0.44 * tall),
            (x + 1.1 * t, foot),
        ]
        self.trunks.append(np.array(left + fork + right))
        for n in range(7):
            part = (n - 3) / 3
            cx = mid + part * wide * 0.74 + float(self.rng.uniform(-0.05, 0.05)) * wide
            cy = top - tall * (0.1 - 0.075 * part * part) + float(self.rng.uniform(-0.02, 0.02)) * tall
            r = wide * float(self.rng.uniform(0.24, 0.34))
            self.crowns.append(ellipse(cx, cy, r, 0.34 * r + 0.03 * tall))
            self.bright.append(ellipse(cx - 0.1 * r, cy - 0.16 * r, 0.78 * r, 0.22 * r))

    def leafy(self, x: float, foot: float, tall: float) -> None:
        """Add a trunk under a round crown."""
        t, fork = max(1.2, 0.035 * tall), foot - 0.6 * tall
        self.trunks.append(np.array([(x - t, foot), (x - 0.7 * t, fork), (x + 0.7 * t, fork), (x + 1.2 * t, foot)]))
        for _ in range(9):
            cx = x + float(self.rng.uniform(-0.24, 0.24)) * tall
            cy = foot - tall * float(self.rng.uniform(0.5, 0.9))
            r = tall * float(self.rng.uniform(0.1, 0.17))
            self.crowns.append(ellipse(cx, cy, r, 0.85 * r))
            self.bright.append(ellipse(cx - 0.2 * r, cy - 0.28 * r, 0.62 * r, 0.45 * r))

    def bush(self, x: float, foot: float, r: float) -> None:
        """Add something low and round."""
        self.crowns.append(ellipse(x, foot - 0.3 * r, 1.5 * r, r))
        self.bright.append(ellipse(x - 0.2 * r, foot - 0.6 * r, 0.9 * r, 0.45 * r))


def tuft(x: float, foot: float, tall: float, wide: float, rng: np.random.Generator) -> list[Polygon]:
    """Five blades of grass that grow close together."""
    blades = []
    w = 0.5 + 0.045 * tall
    for n in range(5):
        long, at = tall * float(rng.uniform(0.55, 1.0)), x + wide * (n - 2) / 2
        bend = long * (0.22 * (n - 2) + float(rng.uniform(-0.12, 0.12)))
        waist, middle = 0.5 * w, (at + 0.35 * bend, foot - 0.6 * long)
        left, right = (middle[0] - waist, middle[1]), (middle[0] + waist, middle[1])
        blades.append(np.array([(at - w, foot), left, (at + bend, foot - long), right, (at + w, foot)]))
    return blades


Habitat = Literal["grassland", "desert", "waterhole", "woodland"]

HABITATS: tuple[Habitat, ...] = get_args(Habitat)


@dataclass(frozen=True)
class Ground:
    """The ground of a habitat.

    Attributes:
        far: its colour at the horizon.
        near: its colour at the lower edge.
        rough: how much its colour varies.
        blade: two colours of what grows in front.
        blades: how many blades grow in front, and the greatest length.
        hills: the colour of the hills.
    """

    far: Colour
    near: Colour
    rough: float
    blade: tuple[Colour, Colour]
    blades: tuple[int, int]
    hills: Colour


GROUNDS: dict[Habitat, Ground] = {
    "grassland": Ground(
        (206, 186, 112), (150, 142, 66), 0.3, ((168, 154, 72), (104, 110, 44)), (150, 30), (124, 134, 108)
    ),
    "desert": Ground(
        (232, 196, 140), (214, 160, 100), 0.16, ((150, 140, 92), (112, 108, 74)), (14, 16), (196, 144, 104)
    ),
    "waterhole": Ground(
        (172, 168, 96), (156, 132, 88), 0.26, ((110, 130, 62), (66, 96, 46)), (60, 34), (110, 128, 104)
    ),
    "woodland": Ground((120, 132, 70), (92, 104, 48), 0.34, ((96, 122, 50), (54, 82, 34)), (120, 26), (84, 108, 78)),
}


_TREES: dict[Habitat, tuple[tuple[int, float, float, float], ...]] = {
    "grassland": ((8, 16, 0.75, 2), (3, 48, 0.25, 9)),
    "desert": (),
    "waterhole": ((14, 16, 0.75, 2), (3, 44, 0.3, 8)),
    "woodland": ((30, 30, 0.8, 1), (16, 58, 0.5, 5), (6, 92, 0.2, 13)),
}
"""Rows of trees, the farthest first: number, height, distance (0 to 1), and how far below the horizon they stand."""


@dataclass(frozen=True)
class Background:
    """A painted background. Both pictures have the scene's (0, 0) at `origin`.

    Attributes:
        picture: uint8 (h, w, 3), all of it.
        front: uint8 (h, w, 4), what is nearer than the animals: colours times alpha, and alpha.
        origin: pixels from the pictures' top left corner.
    """

    picture: NDArray[np.uint8]
    front: NDArray[np.uint8]
    origin: tuple[int, int]


def background(
    habitat: Habitat, light: Light, weather: Weather, size: tuple[int, int], margins: tuple[int, int],
    horizon: float, shore: float, rng: np.random.Generator,
) -> Background:  # fmt: skip
    """Paint a background.

    Args:
        habitat: what to paint.
        light: its light.
        weather: its weather.
        size: width and height of a frame, pixels.
        margins: pixels beyond the frame at the sides, and above and below.
        horizon: y of the horizon in the frame.
        shore: y of a waterhole's bank.
        rng: every random choice comes from it.
    """
    width, height = size[0] + 2 * margins[0], size[1] + 2 * margins[1]
    painter = _Painter(habitat, light, weather, (width, height), horizon + margins[1], rng)
    painter.sky()
    painter.hills()
    painter.ground()
    if habitat == "waterhole":
        painter.water(painter.horizon + 5, painter.horizon + 15)
    painter.trees()
    painter.tufts()
    if habitat == "waterhole":
        painter.water(shore + margins[1], height + 20.0)
    front = painter.front()
    picture = np.rint(np.clip(painter.picture, 0, 255)).astype(np.uint8)
    return Background(over(picture, front), front, margins)


def over(picture: NDArray[np.uint8], front: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a foreground, uint8 (h, w, 4) of colours times alpha and alpha, over a picture of the same size."""
    clear = 255 - front[..., 3:].astype(np.uint16)
    below = picture * clear + 128
    return np.asarray(front[..., :3] + ((below + (below >> 8)) >> 8).astype(np.uint8))


class _Painter:
    """A scene being painted, from the farthest to the nearest."""

    def __init__(
        self, habitat: Habitat, light: Light, weather: Weather, size: tuple[int, int], horizon: float,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.habitat, self.light, self.weather = habitat, light, weather
        self.size, self.horizon, self.rng = size, horizon, rng
        self.kind, self.air = GROUNDS[habitat], SKIES[light]
        self.salt = int(rng.integers(1, 1 << 20))
        y, x = np.mgrid[: size[1], : size[0]]
        self.x, self.y = x.astype(np.float64), y.astype(np.float64)
        self.picture = np.zeros((size[1], size[0], 3))

    def tone(self, colour: Colour, far: float) -> Colour:
        """A thing's colour in this light, so far away."""
        thing = lit(np.asarray(colour, np.float64)[None, None], self.light)
        red, green, blue = hazy(thing, self.light, self.weather, far)[0, 0]
        return round(red), round(green), round(blue)

    def noise(self, x: Grid, y: Grid, cell: float, salt: int) -> Grid:
        """This scene's own."""
        return noise(x, y, cell, self.salt + salt)

    def sky(self) -> None:
        """A gradient, the sun or the moon, clouds or stars."""
        rows = slice(0, int(self.horizon) + 2)
        x, y = self.x[rows], self.y[rows]
        up = np.clip(1 - y / self.horizon, 0, 1)
        sky = mix(self.air.rim, self.air.zenith, np.sqrt(up) * 0.4 + up * 0.6)
        sun = (self.size[0] * self.rng.uniform(0.15, 0.85), self.horizon * self.rng.uniform(0.2, 0.62))
        from_sun = np.sqrt((x - sun[0]) ** 2 + (y - sun[1]) ** 2)
        flat = 2.6 * y
        clouds = self.noise(x, flat, 46.0, 1) + 0.5 * self.noise(x, flat, 19.0, 2) + 0.25 * self.noise(x, flat, 8.0, 3)
        if self.weather in ("clear", "dust"):
            sky = mix(sky, self.air.disc, 0.55 * np.clip(1 - from_sun / self.air.glow, 0, 1) ** 2)
            sky = mix(sky, self.air.disc, np.clip(7.5 - from_sun, 0, 1))
        if self.light == "night" and self.weather == "clear":
            for _ in range(46):
                px, py = int(self.rng.integers(self.size[0])), int(self.rng.integers(int(self.horizon)))
                sky[py, px] = np.maximum(sky[py, px], 90 + 130 * self.rng.uniform())
        cloud = lit(np.full((1, 1, 3), 250.0), self.light) * 0.75 + 0.25 * np.asarray(self.air.rim)
        sky = mix(sky, np.broadcast_to(cloud, sky.shape), 0.7 * np.clip((clouds - 0.98) * 2.2, 0, 1))
        if self.weather != "clear":
            veiled = {"rain": 0.85, "fog": 0.95, "dust": 0.8}[self.weather]
            sky = mix(sky, haze(self.light, self.weather)[1], veiled * (1 - 0.4 * up))
        self.picture[rows] = sky

    def ridge(self, base: float, tall: float, cell: float, salt: int) -> list[tuple[float, float]]:
        """The outline of hills: down to below the horizon."""
        xs = np.arange(-4.0, self.size[0] + 8.0, 4.0)[None]
        rough = self.noise(xs, xs * 0, cell, salt) + 0.35 * self.noise(xs, xs * 0, cell / 3.1, salt + 1)
        ys = base - tall * rough / 1.35
        top = list(zip(xs[0].tolist(), ys[0].tolist(), strict=True))
        return [*top, (self.size[0] + 8.0, self.horizon + 6), (-8.0, self.horizon + 6)]

    def hills(self) -> None:
        """Two or three ranges, the farther the bluer."""
        hills = ((36.0, 70.0, 0.95), (22.0, 44.0, 0.6))
        dunes = ((30.0, 90.0, 0.8), (22.0, 60.0, 0.4), (12.0, 46.0, 0.15))
        for n, (tall, cell, far) in enumerate(dunes if self.habitat == "desert" else hills):
            colour = self.tone(self.kind.hills, far)
            blue = mix(np.asarray(colour, np.float64)[None, None], self.air.rim, np.array([[0.55 * far]]))[0, 0]
            mask = cover([self.ridge(self.horizon + 3, tall, cell, 40 + 7 * n)], self.size)
            shade = np.clip((self.horizon - self.y) / tall, 0, 1)[..., None] * 0.16
            lay(self.picture, mask, blue * (1.04 - shade))

    def ground(self) -> None:
        """From the horizon down, in perspective: what is far is finer."""
        rows = slice(int(self.horizon), self.size[1])
        x, y = self.x[rows] - self.size[0] / 2, self.y[rows] - self.horizon
        deep = self.size[1] - self.horizon
        z = 40.0 / (y + 7.0)
        near = np.clip(y / deep, 0, 1)
        u, v = x * z, 150.0 * z
        kind = self.kind
        rough = self.noise(u, v, 42.0, 11) + 0.6 * self.noise(u, v, 13.0, 12) + 0.5 * self.noise(u, v, 4.2, 13) - 1.05
        colours = mix(kind.far, kind.near, np.sqrt(near)) * (1 + kind.rough * rough[..., None])
        if self.habitat == "desert":
            wave = self.noise(u * 0.35, v + 9 * self.noise(u, v, 40.0, 14), 5.5, 15)
            colours *= (0.92 + 0.17 * wave)[..., None]
        else:
            # Short strokes upward: blades of grass seen from afar.
            fine = self.noise(x, y * 0.34, 1.9, 16) - 0.5
            colours *= (1 + 0.9 * kind.rough * fine * (0.35 + near))[..., None]
        colours *= (1.02 - 0.2 * near * near * near)[..., None]
        self.picture[rows] = hazy(lit(colours, self.light), self.light, self.weather, (1 - near) * (1 - near))

    def trees(self) -> None:
        """By the habitat: single acacias, a wood, reeds, stones."""
        width = self.size[0]
        if self.habitat == "desert":
            self.stones(7)
        for n, (count, tall, far, below) in enumerate(_TREES[self.habitat]):
            trees = Trees(self.rng)
            for k in range(count):
                x = (k + float(self.rng.uniform(0, 1))) * width / count
                height = tall * float(self.rng.uniform(0.7, 1.25))
                flat = self.habitat == "grassland" or self.rng.uniform() < 0.3
                (trees.acacia if flat else trees.leafy)(x, self.horizon + below, height)
            if self.habitat == "woodland" and n < 2:  # undergrowth
                for _ in range(width // 9):
                    x, r = float(self.rng.uniform(0, width)), float(self.rng.uniform(1.0, 3.4 + 1.6 * n))
                    trees.bush(x, self.horizon + below, r)
            green = (62, 92, 42) if self.habitat == "woodland" else (78, 98, 44)
            lay(self.picture, cover(trees.trunks, self.size), self.tone((84, 64, 48), far))
            leaves = 0.82 + 0.36 * self.noise(self.x, self.y, 2.6, 60 + n)
            lay(self.picture, cover(trees.crowns, self.size), np.asarray(self.tone(green, far)) * leaves[..., None])
            bright = self.tone(darker(green, 1.4), far)
            lay(self.picture, cover(trees.bright, self.size), np.asarray(bright) * leaves[..., None], 0.75)

    def stones(self, count: int) -> None:
        """Grey-brown, lit from above, with a shadow."""
        for _ in range(count):
            x, y = float(self.rng.uniform(0, self.size[0])), self.horizon + float(self.rng.uniform(6, 40))
            r = (y - self.horizon) * float(self.rng.uniform(0.1, 0.24)) + 1.5
            far = max(0.0, 1 - (y - self.horizon) / 60)
            shadow, body = ellipse(x + 0.4 * r, y + 0.45 * r, 1.5 * r, 0.35 * r), ellipse(x, y, r, 0.62 * r)
            top = ellipse(x - 0.15 * r, y - 0.2 * r, 0.7 * r, 0.34 * r)
            lay(self.picture, cover([shadow], self.size), (40, 30, 30), 0.3)
            lay(self.picture, cover([body], self.size), self.tone((136, 104, 78), far))
            lay(self.picture, cover([top], self.size), self.tone((186, 150, 116), far))

    def water(self, top: float, bottom: float) -> None:
        """A sheet between two lines, the farther wavy; it mirrors the sky."""
        xs = np.arange(-4.0, self.size[0] + 8.0, 4.0)[None]
        bank = top + 5 * (self.noise(xs, xs * 0, 34.0, 70 + int(top)) - 0.3)
        edge = list(zip(xs[0].tolist(), bank[0].tolist(), strict=True))
        lower = list(zip(xs[0].tolist(), (bottom - 4 * self.noise(xs, xs * 0, 28.0, 71))[0].tolist(), strict=True))
        sheet = [*edge, *reversed(lower)]
        mud = [(x, y - 2.2) for x, y in edge] + [(x, y + 2.2) for x, y in reversed(lower)]
        lay(self.picture, cover([mud], self.size), self.tone((112, 92, 66), 0.2), 0.7)
        down = np.clip((self.y - top) / 46, 0, 1)
        ripple = self.noise(self.x * 0.28, self.y * 1.5, 2.4, 72) - 0.8
        ripple += 0.6 * self.noise(self.x * 0.2, self.y * 0.8, 4.0, 73)
        sky = mix(self.air.rim, self.air.zenith, 0.55 + 0.4 * down) * (0.94 + 0.2 * ripple[..., None])
        colours = mix(sky, lit(np.array([64.0, 122.0, 146.0]), self.light), np.full(down.shape, 0.4))
        colours = mix(colours, self.air.rim, 1.3 * (ripple - 0.28))
        lay(self.picture, cover([sheet], self.size), hazy(colours, self.light, self.weather, 0.25))

    def tufts(self) -> None:
        """On the ground behind the animals: the nearer the taller, each with its shadow."""
        count, tall = self.kind.blades
        deep = self.size[1] - self.horizon
        for tint in (0, 1):
            blades, shadows = [], []
            for _ in range(count // 3):
                part = 0.1 + 0.4 * float(self.rng.uniform()) ** 0.6
                x, y = float(self.rng.uniform(0, self.size[0])), self.horizon + part * deep
                blades += tuft(x, y, 0.62 * tall * part, 5 * part, self.rng)
                shadows.append(ellipse(x + 2 * part, y, 9 * part, 2 * part))
            lay(self.picture, cover(shadows, self.size), self.tone((44, 40, 24), 0.1), 0.3)
            lay(self.picture, cover(blades, self.size), self.tone(self.kind.blade[tint], 0.3), 0.85)

    def front(self) -> NDArray[np.uint8]:
        """Tufts at the lower edge, the nearest the tallest and darkest: uint8 (h, w, 4), colours times alpha."""
        count, tall = self.kind.blades
        width, height = self.size
        colours, alpha = np.zeros((height, width, 3)), np.zeros((height, width))
        for part, up, share in ((0.42, 17.0, 0.1), (0.62, 9.0, 0.16), (1.0, -3.0, 0.22)):
            for tint in (0, 1):
                blades = []
                for _ in range(round(share * count * width / 300)):
                    x, foot = float(self.rng.uniform(0, width)), height - up + float(self.rng.uniform(-4, 4))
                    blades += tuft(x, foot, tall * part, 9 * part, self.rng)
                mask = cover(blades, self.size) / 255.0
                own = np.asarray(self.tone(self.kind.blade[tint], 0.0), np.float64)
                down = (self.y - (height - up - tall * part)) / (tall * part)
                shade = np.clip(1.16 - 0.4 * down, 0.66, 1.16) * mask
                colours = colours * (1 - mask[..., None]) + own * shade[..., None]
                alpha = alpha * (1 - mask) + mask
        out = np.zeros((height, width, 4), np.uint8)
        out[..., 3] = np.rint(alpha * 255)
        out[..., :3] = np.minimum(np.rint(np.clip(colours, 0, 255)), out[..., 3:])
        return out


def horizon_of(rng: np.random.Generator) -> float:
    """Draw y of the horizon in the frame."""
    return math.floor(float(rng.uniform(78, 96)))
