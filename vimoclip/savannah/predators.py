"""Lion and hare: paws instead of hooves. Coordinates: see `skeleton`."""

from math import cos, pi, sin

from vimoclip.savannah.anatomy import FAR, Hip, Profile, Species, eye, four_legs, leg_parts, limb, outline
from vimoclip.savannah.drawing import Paint, along, countershaded, plain, radial, streaked
from vimoclip.savannah.skeleton import Part, Shape


def _legs(
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
    far, near = _legs(hips, profiles, shank, upper, lower)
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
    far, near = _legs(hips, profiles, shank, coat, along((164, 130, 92), (188, 158, 120), 0, 26, 0.2))
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
