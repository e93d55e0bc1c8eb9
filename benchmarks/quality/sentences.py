"""Sentences about frames of the rendered world: those the tiny model is trained on, and those it is asked.

A sentence names some of a frame's attributes and leaves the others open, as people's questions do.
"""

import random
import re
from collections.abc import Mapping, Sequence

from benchmarks.worlds.rendered import Attribute

OPENINGS = ("", "", "", "a photo of ", "a picture of ", "footage of ", "a video of ", "there is ", "this is ")

PLACES = ("in the {}", "at the {}", "in a {}", "{}", "by the {}")

ALONE: dict[Attribute, tuple[str, ...]] = {
    "species": ("{}", "a {}", "one {}", "a wild {}", "the {}", "the animal is a {}"),
    "behaviour": ("{}", "an animal {}", "the animal is {}", "it is {}", "animals {}"),
    "habitat": (*PLACES, "an animal in the {}", "the habitat is {}", "a landscape: {}", "a {} landscape"),
    "light": ("{}", "at {}", "{} light", "an animal at {}"),
    "weather": ("{}", "{} weather", "in {} weather", "the weather is {}"),
}
"""Of one attribute alone. `a` becomes `an` where it has to."""

ASKED: dict[Attribute, tuple[str, str]] = {
    "species": ("a photo of a {}", "what walked past the camera was a {}"),
    "behaviour": ("a video of an animal {}", "the camera caught something {}"),
    "habitat": ("a photo of an animal in the {}", "we set the camera up near some {} here"),
}
"""What is asked at a test: in words that the training had, and in words that it had not."""


def alone(attribute: Attribute, value: str, rng: random.Random) -> str:
    """A sentence that names one attribute only."""
    return articled(rng.choice(OPENINGS) + rng.choice(ALONE[attribute]).format(value))


def about(facts: Mapping[Attribute, Sequence[str]], rng: random.Random) -> str:
    """A sentence that names all `facts`: the values of each attribute."""
    parts = [" and ".join(f"a {kind}" for kind in facts["species"])] if facts.get("species") else ["an animal"]
    parts += facts.get("behaviour", ())
    parts += [rng.choice(PLACES).format(place) for place in facts.get("habitat", ())]
    parts += [rng.choice(("at {}", "in {} light")).format(light) for light in facts.get("light", ())]
    parts += [rng.choice(("in {} weather", "{} weather")).format(weather) for weather in facts.get("weather", ())]
    return articled(rng.choice(OPENINGS) + " ".join(parts))


def articled(sentence: str) -> str:
    """`a elephant` put right."""
    return re.sub(r"\ba (?=[aeiou])", "an ", sentence)
