"""Zebra, giraffe, wildebeest, elephant, lion and hare, in the proportions of photographs.

vimoclip/savannah/skeleton.py explains the coordinates.
"""

from math import cos, pi, sin

from vimoclip.savannah.drawing import Paint, Point, along, countershaded, patched, plain, radial, streaked, striped
from vimoclip.savannah.skeleton import FAR, Hip, Part, Profile, Shape, Species, eye, four_legs, leg_parts, limb, outline

_UPPER: dict[str, Profile] = {
    "hind": ((-0.35, 11, 13), (0, 15, 14), (0.4, 11, 10), (0.75, 6.2, 5.6), (0.98, 4.8, 5), (1.07, 2.5, 3)),
    "fore": ((-0.3, 9, 9), (0, 11, 10), (0.35, 8.5, 8), (0.7, 5.6, 5.2), (0.98, 4.6, 4.4), (1.07, 2.5, 2.5)),
}
_SHANK: Profile = ((-0.06, 2.5, 3), (0.05, 4.4, 4.6), (0.4, 3.2, 3.3), (0.82, 3.3, 3.5), (0.9, 4.2, 4.2), (0.95, 3, 3))


def _legs(
    hips: dict[str, Hip], upper: Paint, lower: Paint, hoof: Paint, width: float = 1.0
) -> tuple[list[Part], list[Part]]:
    """The far and the near legs of a hoofed animal. width: of the legs, against the zebra's."""

    def wide(profile: Profile) -> Profile:
        return tuple((t, width * before, width * behind) for t, before, behind in profile)

    def shank(length: float) -> tuple[Shape, ...]:
        toe = ((0.89, -4.2), (1.0, -5.8), (1.0, 4.6), (0.9, 4.2))
        return (
            Shape(limb(length, wide(_SHANK)), lower),
            Shape(tuple((t * length, width * y) for t, y in toe), hoof, smooth=False),
        )

    return leg_parts(hips, lambda name, length: Shape(limb(length, wide(_UPPER[name])), upper), shank)


def _tail(joint: Point, hair: Paint, length: float = 26, width: float = 2.2) -> list[Part]:
    root = Shape(limb(length, ((-0.1, width, width), (0.5, 0.8 * width, 0.8 * width), (1.05, 1.4, 1.4))), hair)
    tuft = Shape(limb(24, ((-0.1, 1.5, 1.5), (0.3, 4.2, 4.2), (0.7, 3.6, 3.6), (1.1, 0.8, 0.8))), hair)
    return [Part("tail", "", joint, (root,)), Part("tail-tip", "tail", (length, 0), (tuft,))]


def zebra() -> Species:
    """Black on white all over, an upright mane."""
    white, black = plain((238, 232, 220), 0.06), (34, 30, 30)
    body = striped(countershaded((240, 235, 224), (222, 212, 196), 0, 24), black, 11.5, 0.5, 0.35)
    hips: dict[str, Hip] = {"hind": ((-35, 3), (37.5, 36.5)), "fore": ((31, 6), (35, 36))}
    far, near = _legs(hips, striped(white, black, 9, 0.5), striped(white, black, 7.5, 0.46), plain((40, 34, 32)))
    torso = outline("-50,-4 -47,-19 -34,-25 -10,-20 16,-22 34,-27 47,-17 51,0 42,16 18,23 -10,24 -32,19 -47,12")
    neck = outline("-14,-17 14,-13 40,-10 52,-7 52,6 38,9 18,15 -4,22 -16,8")
    crest = outline("-8,-14 -2,-24 8,-24 20,-22 32,-20 44,-18 53,-15 56,-6 40,-8 12,-11")
    head = outline("-6,-7 4,-12 14,-11 28,-7 38,-4 44,0 43,7 36,10 24,9 10,13 -3,11")
    muzzle = outline("34,-6 40,-4 45,0 44,7 36,11 31,6")
    ear = outline("-3,-9 -9,-18 -7,-25 0,-20 4,-11")
    parts = [
        *far,
        *_tail((-48, -10), streaked((60, 54, 50), black, 3)),
        Part("torso", "", (0, 0), (Shape(torso, body),)),
        *near,
        Part(
            "neck",
            "",
            (37, -11),
            (Shape(crest, striped(white, black, 8, 0.6)), Shape(neck, striped(white, black, 8.5))),
        ),
        Part(
            "head",
            "neck",
            (49, -1),
            (
                Shape(ear, plain((225, 218, 205))),
                Shape(head, striped(white, black, 6, 0.5, 0.5)),
                Shape(muzzle, plain((52, 46, 46))),
                *eye((12, -5), 2.0),
            ),
        ),
    ]
    return Species(
        "zebra", "quadruped", tuple(parts), four_legs(hips), 76,
        {
            "stand": {"neck": -48, "head": 88, "tail": 100, "tail-tip": -8},
            "low": {"neck": 58, "head": 22, "torso": 5},
            "lie": {"neck": -52, "head": 80, "tail": 130},
            "run": {"neck": -28, "head": 62, "tail": 150},
            "preen": {"neck": -48},
        },
        {"low": 3, "lie": 52}, (-10, 10), 62, 8600,
    )  # fmt: skip


def wildebeest() -> Species:
    """Slate grey, sloping back, black face, mane, beard and tail, horns like brackets."""
    grey, black = (112, 103, 98), (38, 34, 34)
    body = striped(countershaded((122, 112, 104), (92, 82, 76), -6, 22), (70, 63, 60), 9, 0.34, 0.1)
    hips: dict[str, Hip] = {"hind": ((-34, 2), (36, 36)), "fore": ((30, 6), (34, 34))}
    upper, lower = along(grey, (96, 84, 74), 0, 30), along((100, 84, 70), (70, 58, 50), 0, 34)
    far, near = _legs(hips, upper, lower, plain((34, 30, 30)), 0.92)
    torso = outline("-49,-2 -47,-15 -36,-20 -12,-20 10,-26 28,-34 42,-26 50,-8 46,10 26,22 -2,23 -28,17 -46,11")
    neck = outline("-16,-12 8,-14 28,-11 40,-8 42,6 28,11 8,18 -14,16")
    mane = outline("-16,-10 -12,-22 2,-22 16,-19 30,-17 42,-13 43,-6 24,-7 4,-9")
    beard = outline("-6,12 10,10 30,6 38,8 32,20 22,26 10,27 -2,24")
    head = outline("-6,-8 6,-11 20,-9 36,-8 47,-6 52,0 50,8 40,10 24,9 8,11 -4,9")
    horn = outline("-2,-8 -8,-14 -8,-23 1,-29 9,-27 6,-25 -1,-23 -2,-17 4,-10")
    parts = [
        *far,
        *_tail((-47, -9), streaked((50, 45, 44), black, 3), 30, 2.4),
        Part("torso", "", (0, 0), (Shape(torso, body),)),
        *near,
        Part(
            "neck", "", (36, -14),
            (
                Shape(beard, streaked((60, 54, 50), black, 3, 2)),
                Shape(neck, striped(plain((104, 96, 92)), (74, 68, 66), 8, 0.4)),
                Shape(mane, streaked((54, 50, 50), black, 3, 1.5)),
            ),
        ),
        Part(
            "head", "neck", (38, -2),
            (
                Shape(outline("-4,-5 -14,-5 -18,1 -10,4 -2,1"), plain((82, 74, 70))),
                Shape(head, along((92, 84, 80), black, 6, 18)),
                Shape(horn, along((70, 62, 56), (24, 22, 22), -8, 8)),
                *eye((8, -4), 2.0, (16, 13, 12)),
            ),
        ),
    ]  # fmt: skip
    return Species(
        "wildebeest", "quadruped", tuple(parts), four_legs(hips), 73,
        {
            "stand": {"neck": -18, "head": 72, "tail": 98, "tail-tip": -6},
            "low": {"neck": 52, "head": 26, "torso": 5},
            "lie": {"neck": -26, "head": 66, "tail": 130},
            "run": {"neck": -8, "head": 52, "tail": 150},
            "preen": {"neck": -18},
        },
        {"low": 3, "lie": 50}, (-10, 10), 60, 8400,
    )  # fmt: skip


def giraffe() -> Species:
    """Brown patches on cream, sloping back, the long neck with a short mane."""
    cream, brown = (232, 205, 158), (148, 88, 42)
    coat = patched(cream, brown, 12.5, 0.15)
    lower = along((226, 196, 148), (238, 220, 184), 0, 30, 0.06)
    hips: dict[str, Hip] = {"hind": ((-24, 8), (40, 41)), "fore": ((22, 8), (40.5, 40.5))}
    far, near = _legs(hips, patched(cream, brown, 9, 0.16), lower, plain((62, 48, 40)), 0.86)
    torso = outline("-35,0 -34,-13 -24,-19 -6,-22 12,-29 26,-32 36,-20 38,-2 30,14 8,21 -14,18 -32,12")
    neck = outline("-14,-16 10,-9.5 40,-7 74,-5.5 86,-5 87,5 74,5.5 40,8 14,13 -6,22 -16,10")
    mane = outline("-8,-12 8,-13.5 40,-10.5 84,-9 86,-3 40,-5 10,-7")
    head = outline("-6,-5 2,-9 12,-8 24,-4 33,-2 35,3 30,6 16,6 4,9 -5,7")
    horn = outline("0,-7 -3,-16 -1,-18 2,-17 5,-8")
    ear = outline("-3,-5 -14,-8 -17,-5 -12,-2 -4,-1")
    parts = [
        *far,
        *_tail((-34, -8), streaked((80, 56, 40), (40, 30, 26), 3), 30, 1.8),
        Part("torso", "", (0, 0), (Shape(torso, coat),)),
        *near,
        Part(
            "neck", "", (26, -20),
            (
                Shape(mane, streaked((150, 92, 52), (110, 64, 36), 3, 1)),
                Shape(neck, patched(cream, brown, 10.5, 0.15)),
            ),
        ),
        Part(
            "head", "neck", (83, 0),
            (
                Shape(ear, plain((222, 190, 140))),
                Shape(horn, along((200, 160, 110), (60, 44, 34), -2, 0)),
                Shape(head, along((196, 146, 92), (226, 200, 160), 8, 30)),
                *eye((10, -3.5), 1.9),
            ),
        ),
    ]  # fmt: skip
    return Species(
        "giraffe", "quadruped", tuple(parts), four_legs(hips), 88,
        {
            "stand": {"neck": -62, "head": 92, "tail": 96, "tail-tip": -6},
            "low": {"neck": 34, "head": 40, "torso": 20},
            "lie": {"neck": -64, "head": 92, "tail": 130},
            "run": {"neck": -46, "head": 76, "tail": 140},
            "preen": {"neck": -62},
        },
        {"low": 22, "lie": 66}, (-14, 14), 68, 7700,
    )  # fmt: skip


def elephant() -> Species:
    """Grey and wrinkled, columns for legs, the big ear, a trunk of four segments, tusks."""
    skin, dark = (134, 124, 118), (104, 96, 92)
    wrinkled = striped(countershaded((148, 138, 130), (106, 98, 94), -10, 30, 0.2), (128, 118, 112), 9, 0.3, 0.5)
    columns: dict[str, Profile] = {
        "hind": ((-0.5, 15, 16), (0, 18, 17), (0.5, 14, 14), (0.95, 11.5, 12), (1.1, 8, 8)),
        "fore": ((-0.5, 14, 14), (0, 16, 15), (0.5, 13, 13), (0.95, 11, 11), (1.1, 8, 8)),
    }
    shank: Profile = ((-0.2, 7, 8), (0, 11, 11.5), (0.5, 10, 10.5), (0.85, 11, 11), (0.97, 12.5, 12), (1, 12, 11.5))
    nails = Shape(outline("27.2,-12 31,-12.6 31,-3 28.2,-4"), plain((196, 184, 166)), smooth=False)
    hips: dict[str, Hip] = {"hind": ((-33, 12), (30.5, 30.5)), "fore": ((30, 12), (30.5, 30.5))}
    far, near = leg_parts(
        hips,
        lambda name, length: Shape(limb(length, columns[name]), along(skin, dark, -10, 40, 0.16)),
        lambda length: (Shape(limb(length, shank), striped(plain(dark, 0.14), (88, 80, 77), 5, 0.25)), nails),
    )
    torso = outline("-54,6 -54,-14 -44,-32 -24,-41 4,-43 28,-39 46,-30 54,-8 50,18 28,31 -4,33 -34,30 -49,22")
    head = outline("-18,-12 -10,-25 4,-30 18,-25 28,-12 34,4 33,16 22,22 6,24 -10,20 -19,6")
    ear = outline("6,-16 -2,-26 -18,-27 -31,-18 -35,0 -30,18 -19,31 -10,28 -1,14 6,2")
    tusk = outline("22,12 30,18 42,22 54,20 43,26 28,25 19,19")
    trunk = []
    for n, (wide, thin) in enumerate(((10.5, 8.5), (8.5, 7.0), (7.0, 5.8), (5.8, 4.2))):
        profile = ((-0.25, 0.7 * wide, 0.7 * wide), (0, wide, wide), (0.95, thin, thin), (1.15, 0.7 * thin, 0.7 * thin))
        paint = striped(along((140, 130, 124), (118, 108, 102), 0, 24, 0.1), (104, 96, 92), 4.5, 0.3)
        joint, parent = ((28.0, 6.0), "head") if n == 0 else ((22.0, 0.0), f"trunk{n}")
        trunk.append(Part(f"trunk{n + 1}", parent, joint, (Shape(limb(22, profile), paint),)))
    parts = [
        *far,
        *_tail((-53, -14), streaked((90, 82, 78), (60, 54, 52), 3), 30, 2.6),
        Part("torso", "", (0, 0), (Shape(torso, wrinkled),)),
        *near,
        *reversed(trunk),
        Part("head", "", (52, -22), (
            Shape(tusk, along((246, 238, 216), (226, 208, 170), 20, 52, 0.03)),
            Shape(head, countershaded((150, 140, 132), (118, 109, 104), -24, 24, 0.16)),
            *eye((17, -4), 1.9),
        )),
        Part("ear", "head", (0, -2), (Shape(ear, radial((150, 136, 128), (116, 106, 101), 42)),)),
    ]  # fmt: skip
    return Species(
        "elephant", "quadruped", tuple(parts), four_legs(hips), 72,
        {
            "stand": {"head": 0, "trunk1": 72, "trunk2": 14, "trunk3": 4, "trunk4": -16, "tail": 98, "tail-tip": -4},
            "low": {"head": 14, "trunk1": 62, "trunk2": 12, "trunk3": 10, "trunk4": -34, "torso": 3},
            "lie": {"head": -4, "trunk1": 48, "trunk2": -14, "trunk3": -34, "trunk4": -30},
            "run": {"head": -8, "trunk1": 52, "trunk2": -24, "trunk3": -30, "trunk4": -24, "tail": 150},
            "preen": {"head": 0},
        },
        {"low": 2, "lie": 38}, (-4, 6), 52, 13000,
    )  # fmt: skip


# Lion and hare have paws instead of hooves.


def _paws(
    hips: dict[str, Hip], profiles: dict[str, Profile], shank: Profile, upper: Paint, lower: Paint
) -> tuple[list[Part], list[Part]]:
    """The far and the near legs of an animal with paws."""

    def foot(length: float) -> tuple[Shape, ...]:
        paw = ((length - 7, 5), (length - 6.5, -4), (length - 4, -11), (length + 0.5, -12), (length + 1, 4))
        return Shape(limb(length, shank), lower), Shape(paw, lower)

    return leg_parts(hips, lambda name, length: Shape(limb(length, profiles[name]), upper), foot)


def lion() -> Species:
    """Tawny, a dark mane around the head, a tufted tail."""
    tawny, pale, brown = (204, 156, 92), (228, 196, 142), (96, 58, 30)
    hips: dict[str, Hip] = {"hind": ((-37, 3), (34, 34)), "fore": ((31, 6), (32, 33))}
    profiles: dict[str, Profile] = {
        "hind": ((-0.4, 13, 14), (0, 18, 15), (0.4, 14, 11), (0.8, 8, 7), (0.98, 6.4, 6.6), (1.08, 4, 4)),
        "fore": ((-0.4, 10, 10), (0, 13, 12), (0.4, 10, 9.5), (0.8, 7.4, 7), (0.98, 6.8, 6.6), (1.08, 4, 4)),
    }
    shank: Profile = ((-0.1, 4, 4), (0.05, 6.4, 6.6), (0.45, 5.4, 5.4), (0.85, 5.6, 5.2), (1.0, 5, 4.6))
    upper, lower = along(tawny, (198, 152, 92), 0, 30), along((206, 160, 98), pale, 0, 34)
    far, near = _paws(hips, profiles, shank, upper, lower)
    torso = outline("-54,2 -53,-12 -42,-20 -18,-17 8,-18 30,-23 46,-16 52,0 46,15 22,21 -8,19 -32,14 -50,12")
    tail = Shape(limb(40, ((-0.08, 3.2, 3.2), (0.5, 2.4, 2.4), (1.04, 2, 2))), along(tawny, (196, 146, 84), 0, 40))
    root = ((-0.1, 2, 2), (0.5, 1.9, 1.9), (0.7, 2.2, 2.2))
    tuft = ((0.5, 1.8, 1.8), (0.7, 5, 5), (0.95, 4.4, 4.4), (1.2, 0.6, 0.6))
    tip = Shape(limb(24, root), plain((196, 146, 84))), Shape(limb(24, tuft), streaked(brown, (60, 36, 22), 3))
    spikes = []
    for n in range(14):  # the mane: long at the nape and the throat, short at the face
        angle = 2 * pi * n / 14
        long = (32 if n % 2 else 27) - 8 * cos(angle)
        spikes.append((long * cos(angle) - 4, 1.06 * long * sin(angle) + 3))
    throat = outline("-12,-16 12,-15 26,-12 28,12 10,17 -10,19")
    head = outline("-12,-4 -9,-15 2,-19 12,-14 20,-6 28,-3 31,3 29,10 20,14 6,15 -8,11")
    parts = [
        *far,
        Part("tail", "", (-52, -9), (tail,)),
        Part("tail-tip", "tail", (40, 0), tip),
        Part("torso", "", (0, 0), (Shape(torso, countershaded(tawny, pale, -4, 22)),)),
        *near,
        Part("neck", "", (36, -10), (Shape(throat, plain(brown, 0.2)),)),
        Part(
            "head", "neck", (24, -2),
            (
                Shape(tuple(spikes), radial((176, 116, 58), (70, 40, 22), 40)),
                Shape(outline("-6,-11 -8,-20 0,-24 6,-17"), plain((176, 128, 74))),
                Shape(head, countershaded((212, 164, 98), (232, 202, 152), -6, 12)),
                Shape(outline("17,4 30,2 30,10 21,13"), plain((240, 220, 184))),
                Shape(outline("25,-4 31,-1 31,3.5 26,2"), plain((70, 42, 38))),
                *eye((11, -6), 2.2, (52, 34, 16)),
            ),
        ),
    ]  # fmt: skip
    return Species(
        "lion", "quadruped", tuple(parts), four_legs(hips), 70,
        {
            "stand": {"neck": -22, "head": 24, "tail": 118, "tail-tip": -28},
            "low": {"neck": 52, "head": 6, "torso": 7},
            "lie": {"neck": -34, "head": 30, "tail": 158, "tail-tip": -12},
            "run": {"neck": -6, "head": 10, "tail": 168, "tail-tip": 14},
            "preen": {"neck": 20, "head": 40},
        },
        {"low": 6, "lie": 49}, (4, 12), 60, 8600,
    )  # fmt: skip


def hare() -> Species:
    """Long ears with black tips, strong hind legs, a white scut."""
    back, pale = (150, 118, 82), (226, 212, 190)
    hips: dict[str, Hip] = {"hind": ((-24, 4), (30, 31)), "fore": ((26, 10), (24, 25))}
    profiles: dict[str, Profile] = {
        "hind": ((-0.5, 18, 16), (0, 23, 18), (0.45, 15, 13), (0.85, 7, 7), (1.05, 4, 4)),
        "fore": ((-0.4, 8, 8), (0, 10, 9), (0.5, 7, 7), (0.95, 5.4, 5.4), (1.1, 3, 3)),
    }
    shank: Profile = ((-0.1, 4, 4), (0.05, 6, 6), (0.5, 4.8, 4.8), (1.0, 4.6, 4.4))
    coat = plain((158, 124, 86), 0.3, 3)
    far, near = _paws(hips, profiles, shank, coat, along((164, 130, 92), (188, 158, 120), 0, 26, 0.2))
    torso = outline("-44,6 -46,-8 -36,-24 -16,-32 6,-29 24,-22 38,-13 41,2 32,17 8,24 -20,25 -38,18")
    scut = limb(15, ((-0.2, 5, 5), (0.4, 7, 7), (1.05, 3, 3)))
    head = outline("-13,-3 -8,-13 4,-16 16,-12 26,-3 28,5 22,11 8,13 -6,10")
    ear = limb(46, ((-0.05, 3, 3), (0.3, 6.5, 5.5), (0.65, 7.5, 6), (0.92, 4.5, 4), (1.04, 1.2, 1.2)))
    tipped = along((162, 128, 90), (36, 28, 26), 35, 41)
    inner = limb(40, ((0.1, 0.8, 2), (0.4, 2.4, 3.2), (0.75, 2.4, 3.2), (0.95, 0.6, 1)))
    parts = [
        *far,
        Part("tail", "", (-43, 0), (Shape(scut, plain((240, 236, 226), 0.2)),)),
        Part("torso", "", (0, 0), (Shape(torso, countershaded(back, pale, 4, 26, 0.32)),)),
        *near,
        Part("neck", "", (30, -12), (Shape(outline("-12,-10 10,-11 18,-8 18,8 6,14 -10,14"), plain(back, 0.3)),)),
        Part("ear-far", "head", (-3, -12), (Shape(ear, tipped),), FAR + 0.1),
        Part(
            "head", "neck", (17, -1),
            (
                Shape(head, countershaded((164, 130, 90), (214, 194, 164), -2, 14, 0.25)),
                Shape(outline("22,-3 28,-1 28,4 24,4"), plain((92, 66, 56))),
                *eye((9, -4), 3.0, (48, 30, 14)),
            ),
        ),
        Part("ear", "head", (-5, -11), (Shape(ear, tipped), Shape(inner, plain((206, 164, 140))))),
    ]  # fmt: skip
    return Species(
        "hare", "hopper", tuple(parts), four_legs(hips), 58,
        {
            "stand": {"neck": -34, "head": 42, "ear": -104, "ear-far": -88, "tail": 205, "torso": -8},
            "low": {"neck": 52, "head": 18, "ear": -140, "ear-far": -130, "torso": 12},
            "lie": {"neck": -20, "head": 26, "ear": -165, "ear-far": -158},
            "run": {"neck": -14, "head": 20, "ear": -150, "ear-far": -140},
            "preen": {"neck": 4, "head": 74, "ear": -150, "ear-far": -138, "torso": -36},
        },
        {"low": 10, "lie": 32}, (10, 14), 50, 7600,
    )  # fmt: skip
