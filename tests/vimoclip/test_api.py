"""The public names of `vimoclip`: each is there, and a store opened by them searches and predicts."""

import subprocess
import sys
from pathlib import Path

import pytest

import vimoclip
from tests.vimoclip.stores import make_store
from vimoclip.prediction.predictor import Predict
from vimoclip.search.search import Search

PUBLIC = {"Filters", "Hits", "Predictions", "Store", "decode_flow", "errors", "open_store", "vectors"}


def test_every_public_name_is_there() -> None:
    assert set(vimoclip.__all__) == PUBLIC
    assert all(getattr(vimoclip, name) is not None for name in PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vimoclip.__getattr__("nothing")


def test_a_store_searches_and_predicts(tmp_path: Path) -> None:
    make_store(tmp_path / "store", {"a.mp4": 3})
    store = vimoclip.open_store(tmp_path / "store")
    assert type(store) is vimoclip.Store is type(store.refresh())
    assert isinstance(store.search, Search) and store.search is store.search
    assert isinstance(store.predict, Predict)


def test_importing_loads_nothing_heavy() -> None:
    script = "import sys, vimoclip; print(*{'torch', 'lance', 'numpy', 'pyarrow', 'av'} & set(sys.modules))"
    home = str(Path(vimoclip.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", script], cwd=home, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
