"""The presets' variants, what is printed of them, and one small run of the script."""

import sys
from pathlib import Path

import pytest

from benchmarks.quality import presets
from benchmarks.quality.presets import VARIANTS, difference, variant
from vimoclip.config.fusion import PRESETS, fusion_settings

SIZED = {"tfam": {"width": 16, "feed_forward": 64}, "training": {"epochs": 1}}


def test_each_variant_is_the_default_but_for_what_its_name_says() -> None:
    default = variant("default", SIZED)
    assert default == fusion_settings("default", SIZED) and variant("paper", SIZED) == fusion_settings("paper", SIZED)
    for name in VARIANTS:
        assert (variant(name, SIZED) == default) == (name == "default")
        assert variant(name, SIZED).tfam.width == 16


def test_whatever_sets_the_default_apart_from_the_paper_s_is_turned_back_by_some_variant() -> None:
    default, paper = (PRESETS[name].to_dict() for name in ("default", "paper"))
    turned = [change for name, change in VARIANTS.items() if name != "default"]
    differing = set()
    for part, own in default.items():
        if not isinstance(own, dict):
            differing |= {(part, None)} if own != paper[part] else set()
        else:
            differing |= {(part, name) for name, value in own.items() if value != paper[part][name]}
    assert len(differing) >= 4
    for part, name in differing - {("sequences", "most_frames")}:  # of videos longer than any here
        assert any(part in change and (name is None or name in change[part]) for change in turned), (part, name)


def test_differences_are_of_pairs() -> None:
    assert difference([0.5, 0.7], [0.4, 0.6]) == "+10.00 (+10.00 to +10.00)"
    assert difference([0.5], [0.6]) == "-10.00"


@pytest.mark.usefixtures("one_thread")
def test_the_script(
    savannah: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").symlink_to(savannah)
    made = ["--seeds", "1", "--epochs", "1", "--width", "16", "--processes", "1", "--variants", "paper"]
    monkeypatch.setattr(sys, "argv", ["presets", str(tmp_path), *made])
    presets.main()
    printed = capsys.readouterr().out
    assert "cross: mAP on split" in printed and "paper" in printed and "calibration error" in printed
    monkeypatch.setattr(sys, "argv", ["presets", str(tmp_path), *made, "--judge", "train"])
    presets.main()  # trains nothing again
    judged = capsys.readouterr().out
    assert "cross: mAP on split train" in judged and "on split train" not in printed
    assert printed.split("percent")[1].splitlines()[1:7] != judged.split("percent")[1].splitlines()[1:7]
