"""Settings: exact round trips, and every bad value refused."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vimoclip.config.base import Config
from vimoclip.config.store import ClipConfig, FlowConfig, RunConfig, Sampling, StoreConfig
from vimoclip.errors import ConfigError, UsageError

NAMES = st.text(min_size=1)
SAMPLINGS = st.one_of(
    st.builds(Sampling),
    st.builds(Sampling, fps=st.floats(0, 1e6, exclude_min=True) | st.integers(1, 240)),
    st.builds(Sampling, every=st.integers(1, 10**9)),
)
CLIPS = st.builds(
    ClipConfig,
    model=NAMES,
    weights=NAMES,
    preprocess=st.none() | st.text(),
    precision=st.sampled_from(["auto", "bf16", "fp16", "fp32"]),
    resize=st.sampled_from(["squash", "crop", "letterbox", "own"]),
    batch_size=st.integers(0, 4096),
)
FLOWS = st.builds(
    FlowConfig,
    estimator=st.sampled_from(["dis", "frame-difference"]),
    max_width=st.integers(64, 8192),
    image=st.sampled_from(["uvm", "wheel"]),
) | st.builds(
    FlowConfig,
    estimator=st.sampled_from(["raft-large", "raft-small"]),
    weights=st.none() | NAMES,
    updates=st.none() | st.integers(1, 64),
    batch_size=st.none() | st.integers(0, 64),
)
STORES = st.builds(StoreConfig, sampling=SAMPLINGS, clip=CLIPS, flow=FLOWS, keep_flow=st.booleans())
RUNS = st.builds(
    RunConfig,
    device=st.text(),
    threads=st.integers(0, 512),
    on_corrupt=st.sampled_from(["fail", "keep"]),
    timeout_s=st.floats(0, 1e6, exclude_min=True),
)
EVERY = [Sampling, ClipConfig, FlowConfig, StoreConfig, RunConfig]


@settings(deadline=None)
@given(STORES | RUNS | CLIPS | SAMPLINGS | FLOWS)
def test_settings_survive_a_dict_and_json(config: Config) -> None:
    assert type(config).from_dict(config.to_dict()) == config
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("kind", EVERY)
def test_missing_keys_take_their_defaults(kind: type[Config]) -> None:
    assert kind.from_dict({}) == kind()
    assert StoreConfig.from_dict({"clip": {"model": "ViT-L-14"}}) == StoreConfig(clip=ClipConfig(model="ViT-L-14"))


@pytest.mark.parametrize("kind", EVERY)
def test_an_unknown_key_is_refused_by_name(kind: type[Config]) -> None:
    with pytest.raises(ConfigError, match=f"{kind.__name__}.*Received: extra, more.*Expected: ") as caught:
        kind.from_dict({"more": 1, "extra": 1})
    assert all(f.name in str(caught.value) for f in dataclasses.fields(kind))  # type: ignore[arg-type]


def test_an_unknown_key_inside_a_section_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"FlowConfig.*Received: modle\."):
        StoreConfig.from_dict({"flow": {"modle": "dis"}})


@pytest.mark.parametrize("section", ["sampling", "clip", "flow"])
@pytest.mark.parametrize("value", [None, 5, "dis", []])
def test_a_section_must_be_a_table(section: str, value: object) -> None:
    with pytest.raises(ConfigError, match=section):
        StoreConfig.from_dict({section: value})
    with pytest.raises(ConfigError, match=section):
        StoreConfig(**{section: value})  # type: ignore[arg-type]


BAD: list[tuple[type[Config], str, list[Any]]] = [
    (Sampling, "fps", [0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf, "5", True, [5]]),
    (Sampling, "every", [0, -1, 1.0, "2", True]),
    (ClipConfig, "model", ["", None, 5, b"ViT-B-16"]),
    (ClipConfig, "weights", ["", None, 5]),
    (ClipConfig, "preprocess", [5, {}]),
    (ClipConfig, "memory_format", ["nhwc", "", None, True]),
    (ClipConfig, "precision", ["int8", "", None, "BF16", 16]),
    (ClipConfig, "resize", ["stretch", None]),
    (ClipConfig, "batch_size", [-1, 1.5, None, "8", True]),
    (FlowConfig, "estimator", ["raft", "", None, []]),
    (FlowConfig, "max_width", [63, 0, -640, 640.0, None, "640"]),
    (FlowConfig, "image", ["rgb", None]),
    (FlowConfig, "motion", ["grid", "", None]),
    (FlowConfig, "weights", ["", 5]),
    (FlowConfig, "updates", [0, -1, 1.5, "12", True]),
    (FlowConfig, "batch_size", [-1, 1.5, "8", True]),
    (StoreConfig, "keep_flow", [0, 1, None, "yes"]),
    (RunConfig, "device", [None, 0]),
    (RunConfig, "threads", [-1, 1.5, None, True]),
    (RunConfig, "on_corrupt", ["skip", None]),
    (RunConfig, "timeout_s", [0, -1, 1e7, math.inf, math.nan, None, "60", True]),
]


@pytest.mark.parametrize(("kind", "name", "value"), [(kind, name, v) for kind, name, vs in BAD for v in vs])
def test_a_bad_value_is_refused(kind: type[Config], name: str, value: object) -> None:
    arguments: dict[str, Any] = {name: value}
    unnamed = value == "" and kind is ClipConfig and name in ("model", "weights")
    what = "A model and its weights need names" if unnamed else name
    with pytest.raises(ConfigError, match=f"{what}.*Received: "):
        kind(**arguments)
    with pytest.raises(ConfigError, match=f"{what}.*Received: "):
        kind.from_dict(arguments)


@pytest.mark.parametrize("estimator", ["dis", "frame-difference"])
@pytest.mark.parametrize(("name", "value"), [("weights", "none"), ("updates", 12), ("batch_size", 0)])
def test_a_network_is_not_described_where_there_is_none(estimator: str, name: str, value: object) -> None:
    flow = {"estimator": estimator, name: value}
    with pytest.raises(UsageError, match=f"Received: flow {name} {value}.*--flow raft-large"):
        StoreConfig.from_dict({"flow": flow})
    StoreConfig.from_dict({"flow": flow | {"estimator": "raft-small"}})


def test_there_are_bad_values_for_every_field() -> None:
    tried = {(kind, name) for kind, name, _ in BAD}
    sections = {(StoreConfig, name) for name in ("sampling", "clip", "flow")}
    assert tried | sections == {(kind, f.name) for kind in EVERY for f in dataclasses.fields(kind)}


def test_fps_and_every_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"fps or every, not both.*fps=5\.0, every=2"):
        Sampling(fps=5.0, every=2)


@pytest.mark.parametrize("kind", EVERY)
def test_settings_are_frozen(kind: type[Config]) -> None:
    config: Any = kind()
    name = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, name, getattr(config, name))
    assert hash(config) == hash(kind())


def test_stored_settings_that_lack_a_later_one_have_what_it_was_then() -> None:
    stored = StoreConfig(clip=ClipConfig(memory_format="channels_last")).to_dict()
    assert StoreConfig.from_stored(stored).to_dict() == stored
    del stored["clip"]["memory_format"]
    assert StoreConfig.from_stored(stored).clip.memory_format == "contiguous"
    assert StoreConfig.from_dict(stored).clip.memory_format == "auto"  # of a user, who leaves it open
    assert "memory_format" not in stored["clip"]
    assert ClipConfig.from_stored({}) == ClipConfig(memory_format="contiguous")
    with pytest.raises(ConfigError, match="clip is a table"):
        StoreConfig.from_stored({"clip": 1})
