"""The savannah: rendered wildlife clips whose behaviours, spans and motion are known exactly.

- `scenes`: a clip, drawn from a seed; a folder of clips with a labels.csv.
- `behaviours`: what the animals do, and where they are in each frame.
- `gaits`: poses in the course of a behaviour.
- `skeleton`: what an animal is made of, and where its parts lie in a pose.
- `species`: all species by name; `mammals` and `birds` make them.
- `habitats`: backgrounds, light and weather.
- `drawing`: paints, affine maps and smooth-edged shapes.
- `render`: frames, and the exact flow between them.
"""

from vimoclip.savannah.behaviours import BEHAVIOURS, FPS, PAIRS, SIZE
from vimoclip.savannah.habitats import HABITATS
from vimoclip.savannah.scenes import Scene, plan, write_folder
from vimoclip.savannah.species import SPECIES

__all__ = ["BEHAVIOURS", "FPS", "HABITATS", "PAIRS", "SIZE", "SPECIES", "Scene", "plan", "write_folder"]
