"""The lines that the benchmark of the demo prints."""

from pathlib import Path

from benchmarks.worlds.demo_world import lines
from pipelines.demo.run import DemoReport
from tests.pipelines.demo.made_up_report import findings


def test_a_line_for_each_step_row_and_pair() -> None:
    found = findings(seeds=5)
    costs = {step.name: step.cost for step in found.steps}
    said = lines(DemoReport(Path("report.html"), costs=costs, rows=found.rows, pairs=found.pairs))
    assert [line.split()[0] for line in said[:2]] == ["render", "index"] and "75.2 s" in said[0]
    assert said[2].split() == ["image", "only", "mAP", "micro", "61.20", "±", "2.10"]
    assert said[-1].split(maxsplit=2)[2] == "right: image only 22 of 40, image and motion 37.5 of 40"
