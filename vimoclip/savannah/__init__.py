"""The savannah: rendered wildlife clips whose behaviours, spans and motion are known exactly."""

from vimoclip.savannah.behaviours import BEHAVIOURS, FPS, PAIRS, SIZE
from vimoclip.savannah.habitats import HABITATS
from vimoclip.savannah.scenes import Scene, plan, write_folder
from vimoclip.savannah.species import SPECIES

__all__ = ["BEHAVIOURS", "FPS", "HABITATS", "PAIRS", "SIZE", "SPECIES", "Scene", "plan", "write_folder"]
