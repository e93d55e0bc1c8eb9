"""Names of splits: `datasets` takes each of them, and no two are one."""

import re

import pytest
from datasets.naming import _split_re
from hypothesis import given
from hypothesis import strategies as st

from pipelines.export.hf_dataset import split_names


@given(st.lists(st.none() | st.text(max_size=70) | st.sampled_from(["train", "Train", "unsplit", "all", "_", "a b"])))
def test_every_split_gets_a_name_of_its_own_that_is_taken(splits: list[str | None]) -> None:
    names = split_names(splits)
    assert set(names) == set(splits)
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert all(re.match(_split_re, name) and name != "all" and "/" not in name for name in names.values())
    assert names == split_names(reversed(splits))


@pytest.mark.parametrize(
    ("splits", "names"),
    [
        (["train", "val"], ["train", "val"]),
        (["validación", None], ["validación", "unsplit"]),
        (["a b", "a_b", "a-b"], ["a_b_2", "a_b", "a_b_3"]),
        ([None, "unsplit"], ["unsplit_2", "unsplit"]),
        (["all", ""], ["all_", "_"]),
        (["train", "Train"], ["train_2", "Train"]),
    ],
)
def test_known_names(splits: list[str | None], names: list[str]) -> None:
    assert [split_names(splits)[split] for split in splits] == names
