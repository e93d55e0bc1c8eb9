"""Queries from outside: a clip, an image and a text, embedded as the store's own frames were."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from pipelines import embed
from pipelines.index import IndexRequest, run
from tests.models import PREPROCESS, tiny_clip, write_tiny_clip
from tests.pipelines.runs import ingest
from tests.vimoclip.searches import make_run
from vimoclip.api import Store
from vimoclip.config.fusion import Lengths, SequenceConfig
from vimoclip.config.store import ClipConfig, RunConfig
from vimoclip.errors import ConfigError, ModelError, SearchError, SettingsError, VideoError
from vimoclip.models.clip_text import BASELINE_PROMPTS, TEMPLATES, TextTower
from vimoclip.search.options import By, Space
from vimoclip.video.contact_sheet import frames_at

pytestmark = pytest.mark.slow

ONE = RunConfig(device="cpu", threads=1)
BY: tuple[By, ...] = ("behaviour", "mix")
LENGTHS: tuple[Lengths, ...] = ("unit", "raw")
WEIGHTS: dict[Space, float] = {"motion": 1, "behaviour": 2}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for n, source in enumerate(sorted(clips.rglob("*.mp4"))[::2]):
        shutil.copy(source, folder / f"{n}' OR '1'='1.mp4")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, videos: Path, tiny_model: str) -> Store:
    where = tmp_path_factory.mktemp("outside") / "store"
    ingest(videos, store=where, model=tiny_model)
    run(IndexRequest(where))
    return Store.open(where)


@pytest.mark.parametrize("by", ["appearance", "motion", "mix"])
def test_a_stored_file_as_a_clip_is_the_stored_video(store: Store, videos: Path, by: By) -> None:
    for path in sorted(videos.iterdir()):
        hits = store.search(clip=path, by=by, run=ONE)
        assert hits[0].video_id == path.name
        assert hits[0].score == pytest.approx(1, abs=1e-5)
        same = store.search(video=path.name, by=by, exclude="nothing")
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in same], abs=1e-4)


def test_a_clip_is_seen_by_the_model_as_the_stored_video_is(store: Store, videos: Path, tmp_path: Path) -> None:
    for lengths in LENGTHS:
        own = Store.open(shutil.copytree(str(store.place), tmp_path / lengths / "store"))
        folder = make_run(own, tmp_path / lengths / "run", "cross", SequenceConfig(lengths=lengths))
        run(IndexRequest(own.place, behaviour=folder))
        for path in sorted(videos.iterdir())[:3]:
            for by in BY:
                hits = own.refresh().search(clip=path, by=by, weights=WEIGHTS if by == "mix" else None, run=ONE)
                same = own.refresh().search(
                    video=path.name, by=by, weights=WEIGHTS if by == "mix" else None, exclude="nothing"
                )
                assert hits[0].video_id == path.name
                assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in same], abs=1e-3)


def test_any_of_them_finds_frames(store: Store, videos: Path, tmp_path: Path) -> None:
    path = sorted(videos.iterdir())[2]
    PIL.Image.fromarray(frames_at(path, [0.1])[0]).save(tmp_path / "x.png")
    for hits in (
        store.search(clip=path, unit="frames", run=ONE),
        store.search(image=tmp_path / "x.png", unit="frames", run=ONE),
    ):
        assert hits[0].video_id == path.name and hits.unit == "frames"
    assert store.search(text="a zebra", unit="frames", run=ONE).found


def test_an_image_is_a_frame(store: Store, videos: Path, tmp_path: Path) -> None:
    path = sorted(videos.iterdir())[2]
    (frame,) = frames_at(path, [0.1])
    for name in ("x' OR '1'='1.png", "é.jpg"):
        PIL.Image.fromarray(frame).save(tmp_path / name, quality=95)
        assert store.search(image=tmp_path / name, run=ONE)[0].video_id == path.name
    PIL.Image.fromarray(frame).convert("L").save(tmp_path / "grey.png")
    assert len(store.search(image=tmp_path / "grey.png", run=ONE)) == 5


def test_a_text_is_the_mean_of_its_sentences_beside_everyday_ones(store: Store, tiny_model: str) -> None:
    import open_clip

    model = tiny_clip().eval()
    sentences = [template.format("a zebra's {stripes}") for template in TEMPLATES]
    with torch.inference_mode():
        z = model.encode_text(open_clip.get_tokenizer(tiny_model)(sentences), normalize=True).mean(dim=0).numpy()
    query = z / np.linalg.norm(z)
    hits = store.search(text=" a zebra's {stripes} ", run=ONE)
    expected = store.search(vector=query)
    assert [hit.video_id for hit in hits] == [hit.video_id for hit in expected]
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    others = TextTower(ClipConfig(model=tiny_model, weights="own"), torch.device("cpu"))(BASELINE_PROMPTS)
    corpus = store.search.corpus
    values, _ = corpus.vectors("appearance", np.arange(len(corpus)))
    cosines = values.astype(np.float32) @ others.T
    for hit in hits:
        assert hit.percentile == pytest.approx(100 * (cosines < hit.score).mean(), abs=1)


def test_what_cannot_be_read(store: Store, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"broken\.mp4 cannot be opened"):
        store.search(clip=tmp_path / "broken.mp4", run=ONE)
    with pytest.raises(SearchError, match="no such file"):
        store.search(clip=tmp_path / "nowhere.mp4", run=ONE)
    for name in ("broken.mp4", "nowhere.png"):
        with pytest.raises(SearchError, match="image cannot be read"):
            store.search(image=tmp_path / name, run=ONE)
    for text in ("", "  \n"):
        with pytest.raises(SearchError, match="text is empty"):
            store.search(text=text, run=ONE)


def test_other_weights_at_the_same_place_are_refused(videos: Path, tmp_path: Path) -> None:
    video = next(videos.iterdir())
    ingest(video, store=tmp_path / "store", model=write_tiny_clip(tmp_path / "model"))
    run(IndexRequest(tmp_path / "store"))
    store = Store.open(tmp_path / "store")
    PIL.Image.new("RGB", (20, 20)).save(tmp_path / "x.png")
    write_tiny_clip(tmp_path / "model", seed=2)
    for asked in ({"clip": video}, {"image": tmp_path / "x.png"}, {"text": "a zebra"}):
        with pytest.raises(SettingsError, match="weights"):
            store.search(**asked, run=ONE)


def test_a_model_whose_text_tower_does_not_fit_its_tokenizer(videos: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    name = write_tiny_clip(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["vocab_size"] = 64
    (tmp_path / "model" / "open_clip_config.json").write_text(json.dumps(config | {"preprocess_cfg": PREPROCESS}))
    state = tiny_clip().state_dict()
    state["token_embedding.weight"] = state["token_embedding.weight"][:64].clone()
    save_file(state, tmp_path / "model" / "open_clip_model.safetensors")
    ingest(next(videos.iterdir()), store=tmp_path / "store", model=name)
    run(IndexRequest(tmp_path / "store"))
    with pytest.raises(ModelError, match="cannot read this text"):
        Store.open(tmp_path / "store").search(text="a zebra", run=ONE)


def test_a_space_of_an_added_feature(store: Store, videos: Path, tmp_path: Path) -> None:
    where = Path(shutil.copytree(str(store.place), tmp_path / "store"))
    other = write_tiny_clip(tmp_path / "other", seed=3)
    assert embed.run(embed.EmbedRequest(where, "other", {"model": other}, run=ONE)).complete
    run(IndexRequest(where, features={"appearance": "other"}))
    added = Store.open(where)
    path = sorted(videos.iterdir())[1]
    for by in ("appearance", "mix"):
        hits = added.search(clip=path, by=by, run=ONE)
        assert hits[0].video_id == path.name
        assert hits[0].score == pytest.approx(1, abs=1e-5)
    (frame,) = frames_at(path, [0.1])
    PIL.Image.fromarray(frame).save(tmp_path / "x.png")
    assert added.search(image=tmp_path / "x.png", run=ONE)[0].video_id == path.name
    assert added.search(text="a zebra", run=ONE).found != store.search(text="a zebra", run=ONE).found


def test_a_device_that_is_none(store: Store, videos: Path) -> None:
    with pytest.raises(ConfigError, match="no such device"):
        store.search(text="a zebra", run=replace(ONE, device="nowhere"))
