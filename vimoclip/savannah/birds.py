"""Ostrich, eagle and stork. Coordinates: see `skeleton`; the flyers' wings are parts that open along their own y."""

from vimoclip.savannah.affine import Point
from vimoclip.savannah.anatomy import FAR, Profile, Species, eye, leg_parts, limb
from vimoclip.savannah.paints import Colour, Paint, along, countershaded, plain, streaked
from vimoclip.savannah.skeleton import Leg, Part, Shape


def _two_legs(hip: Point, lengths: tuple[float, float]) -> tuple[Leg, ...]:
    return Leg("far", (hip[0] + 4, hip[1]), lengths, -1, 0.5, 0.5), Leg("near", hip, lengths, -1, 0.0, 0.0)


def _bird_legs(
    hip: Point, lengths: tuple[float, float], thigh: Profile, skin: Paint, feathers: Paint, thin: float
) -> tuple[list[Part], list[Part]]:
    sides = []
    first, second = lengths
    shank: Profile = ((-0.05, 1.3 * thin, 1.3 * thin), (0.1, thin, thin), (0.9, thin, thin), (1.0, 1.2 * thin, 1.2 * thin))
    foot = ((second - 3 * thin, -thin), (second - thin, -6 * thin), (second + 0.6, -7 * thin), (second + 0.6, 2 * thin))
    for side, shade, ahead in (("far", FAR, 4.0), ("near", 1.0, 0.0)):
        lower = (Shape(limb(second, shank), skin), Shape(foot, skin, smooth=False))
        sides.append(leg_parts(side, (hip[0] + ahead, hip[1]), (Shape(limb(first, thigh), feathers),), lower, shade))
    return sides[0], sides[1]


def ostrich() -> Species:
    """Black, with white plumes at wing and tail, bare pink legs and a bare long neck."""
    pink, black, white = (206, 160, 142), (36, 32, 34), (236, 230, 220)
    thigh: Profile = ((-0.2, 9, 10), (0.1, 12, 12), (0.5, 8, 8), (0.9, 4, 4), (1.04, 3, 3))
    hip, lengths = (0.0, 10.0), (40.0, 48.0)
    far, near = _bird_legs(hip, lengths, thigh, along((200, 154, 136), (178, 140, 124), 0, 40), along((196, 150, 134), pink, 0, 30), 2.9)
    torso = ((-40, -2), (-36, -18), (-16, -27), (8, -26), (28, -18), (38, -4), (34, 10), (16, 22), (-10, 24), (-32, 14))
    wing = ((20, -14), (2, -22), (-22, -18), (-40, -4), (-46, 8), (-34, 12), (-12, 14), (12, 8))
    plume = ((-20, 0), (-34, -4), (-46, 6), (-47, 14), (-34, 15), (-18, 12))
    tail = ((4, -8), (-10, -13), (-25, -11), (-32, -2), (-27, 8), (-12, 11), (4, 8))
    lower_neck = limb(40, ((-0.25, 9, 9), (0.0, 7, 8), (0.4, 4.4, 4.6), (1.0, 3.4, 3.4), (1.08, 2, 2)))
    upper_neck = limb(34, ((-0.08, 2.6, 2.6), (0.1, 3.4, 3.4), (0.9, 3.1, 3.1), (1.06, 2, 2)))
    head = ((-6, -1), (-4, -7), (3, -8), (9, -4), (13, -2), (10, 3), (2, 5), (-5, 4))
    parts = [
        *far,
        Part("tail", "", (-34, -8), (Shape(tail, streaked(white, (200, 190, 176), 4, 1.5)),)),
        *near,
        Part("torso", "", (0, 0), (Shape(torso, streaked((52, 46, 48), black, 5, 1.6)),)),
        Part("wing", "", (8, -4), (Shape(wing, streaked((62, 56, 58), (30, 27, 29), 4, 3)), Shape(plume, streaked(white, (206, 198, 186), 3, 2)))),
        Part("neck", "", (30, -10), (Shape(lower_neck, along((60, 52, 52), (214, 178, 160), 0, 12)),)),
        Part("neck-top", "neck", (39, 0), (Shape(upper_neck, plain((216, 182, 164))),)),
        Part(
            "head", "neck-top", (33, 0),
            (
                Shape(((6, -4), (20, -2), (21, 0), (18, 2.5), (6, 3)), along((196, 150, 120), (170, 120, 90), 8, 18)),
                Shape(head, plain((206, 178, 164))),
                *eye((3, -2.5), 2.1),
            ),
        ),
    ]  # fmt: skip
    return Species(
        "ostrich", "bird", tuple(parts), _two_legs(hip, lengths), 94,
        {
            "stand": {"neck": -58, "neck-top": -26, "head": 88, "tail": 8},
            "low": {"neck": 48, "neck-top": 26, "head": 8, "torso": 16},
            "lie": {"neck": -66, "neck-top": -14, "head": 84, "tail": -4},
            "run": {"neck": -48, "neck-top": -22, "head": 70, "torso": -2},
            "preen": {"neck": -104, "neck-top": -92, "head": -2},
        },
        {"low": 10, "lie": 66}, (12, 12), 84, 6000,
    )  # fmt: skip


def _flyer(
    name: str, plumage: Colour, dark: Colour, front: Colour, bill: Colour, legs: Colour, hip: Point,
    lengths: tuple[float, float], stance: float, neck_length: float, bill_shape: tuple[Point, ...], thin: float,
    stand: dict[str, float], preen: dict[str, float], tail_colour: Colour, area: float,
) -> Species:  # fmt: skip
    thigh: Profile = ((-0.2, 8, 8), (0.1, 9.5, 9), (0.6, 5.4, 5.4), (0.95, 0.9 * thin, 0.9 * thin), (1.05, thin, thin))
    far, near = _bird_legs(hip, lengths, thigh, plain(legs), streaked(plumage, dark, 4), thin)
    torso = ((-36, 2), (-32, -9), (-10, -15), (14, -15), (30, -10), (37, 0), (31, 10), (10, 16), (-14, 13), (-32, 8))
    tail = ((6, -7), (-14, -9), (-34, -12), (-37, 0), (-34, 9), (-14, 9), (6, 7))
    spread = ((16, 4), (21, -16), (25, -44), (25, -70), (18, -88), (12, -92), (10, -84), (4, -90), (1, -82))
    spread = (*spread, (-5, -85), (-7, -76), (-13, -78), (-14, -64), (-20, -48), (-25, -26), (-24, -4), (-10, 6))
    folded = ((26, -8), (14, -15), (-12, -13), (-38, 0), (-56, 12), (-40, 14), (-12, 12), (14, 9), (26, 2))
    feathers = streaked(plumage, dark, 5, 0.25)
    tips = Shape(((23, -60), (25, -72), (18, -88), (12, -92), (10, -84), (4, -90), (1, -82), (-5, -85), (-7, -76), (-13, -78), (-14, -62), (4, -56)), streaked(dark, (22, 20, 22), 4, 0.25))
    rear = Shape(((-14, -60), (-20, -48), (-25, -26), (-24, -4), (-16, -4), (-14, -28), (-9, -52)), streaked(dark, (22, 20, 22), 4, 0.25))
    neck = limb(neck_length, ((-0.4, 9, 10), (0.0, 8, 8.5), (0.5, 6, 6), (1.0, 5.4, 5.4), (1.1, 3, 3)))
    head = ((-7, 0), (-5, -7), (3, -9), (11, -6), (15, 0), (11, 6), (2, 8), (-6, 6))
    parts = [
        Part("spread-far", "", (10, -8), (Shape(spread, feathers), rear, tips), FAR + 0.08),
        *far,
        Part("tail", "", (-30, 0), (Shape(tail, streaked(tail_colour, plumage if tail_colour != plumage else dark, 5, 2)),)),
        Part("torso", "", (0, 0), (Shape(torso, countershaded(plumage, dark, -2, 18, 0.2)),)),
        *near,
        Part("folded", "", (4, -1), (Shape(folded, streaked(plumage, dark, 5, 3)), Shape(((-30, 4), (-56, 12), (-40, 14), (-22, 11)), streaked(dark, (22, 20, 22), 3, 3)))),
        Part("neck", "", (28, -5), (Shape(neck, plain(front, 0.08)),)),
        Part(
            "head", "neck", (neck_length, 0),
            (Shape(bill_shape, along(bill, tuple(int(0.6 * c) for c in bill), 14, 40)), Shape(head, plain(front, 0.08)), *eye((5, -2.5), 2.2)),
        ),
        Part("spread", "", (6, -6), (Shape(spread, feathers), rear, tips)),
    ]  # fmt: skip
    return Species(
        name, "flyer", tuple(parts), _two_legs(hip, lengths), stance,
        {
            "stand": stand,
            "low": {"torso": 24, "neck": 30, "head": 30},
            "lie": {},
            "run": {"torso": -6, "neck": -14, "head": 12, "tail": 4},
            "preen": preen,
        },
        {"lie": 30}, (8, 8), 60, area,
    )  # fmt: skip


def eagle() -> Species:
    """A fish eagle: chestnut and black, head, breast and tail white."""
    beak = ((11, -5), (19, -4), (24, 1), (23, 7), (19, 3), (11, 4))
    return _flyer(
        "eagle", (118, 74, 44), (58, 40, 30), (240, 236, 226), (238, 186, 60), (226, 178, 70), (-2, 11), (22, 22), 48, 14,
        beak, 2.6, {"torso": -42, "neck": 2, "head": 38, "tail": -14}, {"torso": -34, "neck": 60, "head": 92}, (240, 236, 226), 5600,
    )  # fmt: skip


def stork() -> Species:
    """White and black, red bill and red long legs."""
    bill = ((11, -3), (24, -2), (45, 1.5), (45, 2.5), (24, 4), (11, 4))
    return _flyer(
        "stork", (236, 232, 224), (44, 42, 48), (240, 237, 230), (214, 66, 44), (206, 72, 54), (-4, 10), (34, 42), 82, 30,
        bill, 1.9, {"torso": -22, "neck": -46, "head": 84, "tail": -6}, {"torso": -18, "neck": 34, "head": 116}, (44, 42, 48), 5600,
    )  # fmt: skip
