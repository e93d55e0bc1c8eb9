"""Ostrich, eagle and stork. The flyers' wings are parts that open along their own y.

vimoclip/savannah/skeleton.py explains the coordinates.
"""

from dataclasses import dataclass

from vimoclip.savannah.drawing import Colour, Outline, Paint, along, countershaded, darker, plain, streaked
from vimoclip.savannah.skeleton import (
    FAR,
    Hip,
    Part,
    Posture,
    Profile,
    Shape,
    Species,
    eye,
    leg_parts,
    limb,
    outline,
    two_legs,
)


def _legs(
    hips: dict[str, Hip], thigh: Profile, feathers: Paint, skin: Paint, thin: float
) -> tuple[list[Part], list[Part]]:
    """The far and the near leg. thin: half the width of the shank."""

    def foot(length: float) -> tuple[Shape, ...]:
        wide = 1.25 * thin
        shank = limb(length, ((-0.05, wide, wide), (0.1, thin, thin), (0.9, thin, thin), (1.0, wide, wide)))
        toes = ((-3 * thin, -thin), (-thin, -6 * thin), (0.6, -7 * thin), (0.6, 2 * thin))
        return Shape(shank, skin), Shape(tuple((length + x, y) for x, y in toes), skin, smooth=False)

    return leg_parts(hips, lambda _, length: Shape(limb(length, thigh), feathers), foot)


def ostrich() -> Species:
    """Black, with white plumes at wing and tail, bare pink legs and a bare long neck."""
    pink, black, white = (206, 160, 142), (36, 32, 34), (236, 230, 220)
    thigh: Profile = ((-0.2, 9, 10), (0.1, 12, 12), (0.5, 8, 8), (0.9, 4, 4), (1.04, 3, 3))
    hips: dict[str, Hip] = {"hind": ((0, 10), (40, 48))}
    skin, bare = along((200, 154, 136), (178, 140, 124), 0, 40), along((196, 150, 134), pink, 0, 30)
    far, near = _legs(hips, thigh, bare, skin, 2.9)
    torso = outline("-40,-2 -36,-18 -16,-27 8,-26 28,-18 38,-4 34,10 16,22 -10,24 -32,14")
    wing = outline("20,-14 2,-22 -22,-18 -40,-4 -46,8 -34,12 -12,14 12,8")
    plume = outline("-20,0 -34,-4 -46,6 -47,14 -34,15 -18,12")
    tail = outline("4,-8 -10,-13 -25,-11 -32,-2 -27,8 -12,11 4,8")
    lower_neck = limb(40, ((-0.25, 9, 9), (0.0, 7, 8), (0.4, 4.4, 4.6), (1.0, 3.4, 3.4), (1.08, 2, 2)))
    upper_neck = limb(34, ((-0.08, 2.6, 2.6), (0.1, 3.4, 3.4), (0.9, 3.1, 3.1), (1.06, 2, 2)))
    head = outline("-6,-1 -4,-7 3,-8 9,-4 13,-2 10,3 2,5 -5,4")
    parts = [
        *far,
        Part("tail", "", (-34, -8), (Shape(tail, streaked(white, (200, 190, 176), 4, 1.5)),)),
        *near,
        Part("torso", "", (0, 0), (Shape(torso, streaked((52, 46, 48), black, 5, 1.6)),)),
        Part(
            "wing", "", (8, -4),
            (
                Shape(wing, streaked((62, 56, 58), (30, 27, 29), 4, 3)),
                Shape(plume, streaked(white, (206, 198, 186), 3, 2)),
            ),
        ),
        Part("neck", "", (30, -10), (Shape(lower_neck, along((60, 52, 52), (214, 178, 160), 0, 12)),)),
        Part("neck-top", "neck", (39, 0), (Shape(upper_neck, plain((216, 182, 164))),)),
        Part(
            "head", "neck-top", (33, 0),
            (
                Shape(outline("6,-4 20,-2 21,0 18,2.5 6,3"), along((196, 150, 120), (170, 120, 90), 8, 18)),
                Shape(head, plain((206, 178, 164))),
                *eye((3, -2.5), 2.1),
            ),
        ),
    ]  # fmt: skip
    return Species(
        "ostrich", "bird", tuple(parts), two_legs(hips), 94,
        {
            "stand": {"neck": -58, "neck-top": -26, "head": 88, "tail": 8},
            "low": {"neck": 48, "neck-top": 26, "head": 8, "torso": 16},
            "lie": {"neck": -66, "neck-top": -14, "head": 84, "tail": -4},
            "run": {"neck": -48, "neck-top": -22, "head": 70, "torso": -2},
            "preen": {"neck": -92, "neck-top": -126, "head": -16},
        },
        {"low": 10, "lie": 66}, (12, 12), 84, 6000,
    )  # fmt: skip


@dataclass(frozen=True)
class _Plumage:
    """upper, soft: of wings and body. dark: of the wings' tips and rear edge. front: of head and neck."""

    upper: Colour
    soft: Colour
    dark: Colour
    front: Colour
    tail: Colour
    bill: Colour
    legs: Colour


def _flyer(
    name: str,
    plumage: _Plumage,
    bill: Outline,
    hips: dict[str, Hip],
    thin: float,
    stance: float,
    neck: float,
    stand: dict[str, float],
    preen: dict[str, float],
) -> Species:
    """A bird with wings to open. thin: half the width of its legs. neck: its length. stand, preen: its postures."""
    thigh: Profile = ((-0.2, 8, 8), (0.1, 9.5, 9), (0.6, 5.4, 5.4), (0.95, 0.9 * thin, 0.9 * thin), (1.05, thin, thin))
    feathers, edge = streaked(plumage.upper, plumage.soft, 5, 0.25), streaked(plumage.dark, (22, 20, 22), 4, 0.25)
    far, near = _legs(hips, thigh, streaked(plumage.upper, plumage.soft, 4), plain(plumage.legs), thin)
    torso = outline("-36,2 -32,-9 -10,-15 14,-15 30,-10 37,0 31,10 10,16 -14,13 -32,8")
    tail = outline("6,-7 -14,-9 -34,-12 -37,0 -34,9 -14,9 6,7")
    spread = outline(
        "22,4 26,-16 30,-44 29,-72 22,-92 15,-97 13,-87 6,-95 3,-85 -5,-91 -7,-80 -14,-83 -15,-70 -24,-62 -24,-48 "
        "-31,-26 -28,-4 -10,6"
    )
    tips = outline("29,-60 29,-72 22,-92 15,-97 13,-87 6,-95 3,-85 -5,-91 -7,-80 -14,-83 -16,-62 4,-56")
    rear = outline("-15,-64 -24,-60 -24,-48 -31,-26 -28,-4 -19,-4 -17,-28 -9,-54")
    wing = Shape(spread, feathers), Shape(rear, edge), Shape(tips, edge)
    folded = outline("26,-8 14,-15 -12,-13 -38,0 -56,12 -40,14 -12,12 14,9 26,2")
    folded_tips = outline("-30,4 -56,12 -40,14 -22,11")
    throat = limb(neck, ((-0.4, 9, 10), (0.0, 8, 8.5), (0.5, 6, 6), (1.0, 5.4, 5.4), (1.1, 3, 3)))
    head = outline("-7,0 -5,-7 3,-9 11,-6 15,0 11,6 2,8 -6,6")
    pale = plain(plumage.front, 0.08)
    parts = [
        Part("spread-far", "", (10, -8), wing, FAR + 0.08),
        *far,
        Part("tail", "", (-30, 0), (Shape(tail, streaked(plumage.tail, darker(plumage.tail, 0.8), 5, 2)),)),
        Part("torso", "", (0, 0), (Shape(torso, countershaded(plumage.upper, plumage.soft, -2, 18, 0.2)),)),
        *near,
        Part(
            "folded", "", (4, -1),
            (
                Shape(folded, streaked(plumage.upper, plumage.soft, 5, 3)),
                Shape(folded_tips, streaked(plumage.dark, (22, 20, 22), 3, 3)),
            ),
        ),
        Part("neck", "", (28, -5), (Shape(throat, pale),)),
        Part(
            "head", "neck", (neck, 0),
            (
                Shape(bill, along(plumage.bill, darker(plumage.bill, 0.6), 14, 40)),
                Shape(head, pale),
                *eye((5, -2.5), 2.2),
            ),
        ),
        Part("spread", "", (6, -6), wing),
    ]  # fmt: skip
    postures: dict[Posture, dict[str, float]] = {
        "stand": stand,
        "low": {"torso": 24, "neck": 30, "head": 30},
        "lie": {},
        "run": {"torso": -6, "neck": -14, "head": 12, "tail": 4},
        "preen": preen,
    }
    return Species(name, "flyer", tuple(parts), two_legs(hips), stance, postures, {"lie": 30}, (8, 8), 60, 5600)


def eagle() -> Species:
    """A fish eagle: chestnut and black, with head, breast and tail white."""
    white = (240, 236, 226)
    return _flyer(
        "eagle",
        _Plumage((122, 78, 46), (74, 48, 32), (52, 38, 32), white, white, (238, 186, 60), (226, 178, 70)),
        outline("11,-5 19,-4 24,1 23,7 19,3 11,4"),
        {"hind": ((-2, 11), (22, 22))},
        thin=2.6,
        stance=48,
        neck=14,
        stand={"torso": -42, "neck": 2, "head": 38, "tail": -14},
        preen={"torso": -34, "neck": 60, "head": 92},
    )


def stork() -> Species:
    """White and black, with a red bill and long red legs."""
    black = (44, 42, 48)
    return _flyer(
        "stork",
        _Plumage((238, 234, 226), (204, 200, 194), black, (240, 237, 230), black, (214, 66, 44), (206, 72, 54)),
        outline("11,-3 24,-2 45,1.5 45,2.5 24,4 11,4"),
        {"hind": ((-4, 10), (34, 42))},
        thin=1.9,
        stance=82,
        neck=30,
        stand={"torso": -22, "neck": -46, "head": 84, "tail": -6},
        preen={"torso": -18, "neck": 34, "head": 116},
    )
