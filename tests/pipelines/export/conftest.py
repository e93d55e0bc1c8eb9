"""A store to export, made once: an export does not change it."""

import os

import pytest

from tests.pipelines.export.scene import export_store
from vimoclip.store.feature_store import FeatureStore

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before `datasets` is imported


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """See scene.py. Not to be written to."""
    return export_store(tmp_path_factory.mktemp("export") / "store")
