"""What is compared is what the rows say, and what is printed of it is what was found."""

import io

from rich.console import Console

from benchmarks.quality.motion_student import Measured, _compared, _print, by_clips, config_of, rows, student_of
from vimoclip.savannah import PAIRS


def test_each_row_is_one_input_of_the_same_settings() -> None:
    found = rows(["uvm", "wheel"])
    assert [row.name for row in found][:2] == ["image, no positions", "image"]
    configs = {row.name: config_of(row, 3, 7, 16) for row in found}
    assert configs["image, no positions"].tfam.positions is None and configs["image"].tfam.positions == "sinusoidal"
    assert configs["cross, trained on wheel"].sequences.motion == "trained_wheel"
    assert configs["motion, starting"].sequences.motion == "moclip"
    assert {(config.training.epochs, config.training.seed) for config in configs.values()} == {(3, 7)}
    names = [row.name for row in found]
    assert all(one in names and other in names for one, other in _compared(names))
    assert ("cross, trained on uvm", "image") in _compared(names)
    student = student_of("wheel", 5, ["training.lr=3e-4", "positive_weight=9"])
    assert (student.training.lr, student.positive_weight, student.encoding, student.training.epochs) == (
        3e-4, 9, "wheel", 5,
    )  # fmt: skip


def test_what_is_printed_is_the_mean_over_seeds_and_the_difference_seed_by_seed() -> None:
    pair, other = PAIRS[:2]
    one, two = Measured(0.5, {pair: 0.5, other: 0.25}), Measured(0.7, {pair: 0.7, other: 0.45})
    assert one.hard == 0.375
    console = Console(record=True, width=200, file=io.StringIO())
    better = [Measured(each.macro + 0.2, {pair: 1.0, other: each.pairs[other]}) for each in (one, two)]
    _print(console, {"image": [one, two], "cross, starting": better}, "val")
    said = console.export_text()
    assert "Split val" in said and f"{pair[0]} / {pair[1]}" in said and f"{PAIRS[2][0]} / " not in said
    # two values a and b: their mean, and half of their difference times Student's t of one degree of freedom, 12.706
    assert "60.0 ± 127.1" in said and "100.0 ± 0.0" in said
    assert "cross, starting over image: macro 20.0 ± 0.0, hard pairs 20.0 ± 63.5 points" in said


def test_a_share_of_160_clips_is_known_to_seven_points_whatever_the_seeds_say() -> None:
    pair, other = PAIRS[:2]
    runs = [Measured(0.8, {pair: 0.72, other: 0.70}, 160), Measured(0.8, {pair: 0.70, other: 0.72}, 160)]
    assert by_clips(runs) == "63.5 to 77.5"
    assert by_clips([Measured(1.0, {pair: 158 / 160}, 160)]) == "95.6 to 99.7"
    assert by_clips([Measured(0.5, {pair: 0.5})]) == ""
