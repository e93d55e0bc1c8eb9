"""An ablation as files: results.json and results.csv for programs, table.md and table.png for papers."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

from pipelines.ablate import AblateReport, AblateRow, Figure
from vimoclip.atomic import replacing
from vimoclip.config.fusion import Fusion

NAMES: dict[Fusion, str] = {
    "image": "image only",
    "motion": "motion only",
    "embedding": "self-attention, embedding concat",
    "temporal": "self-attention, temporal concat",
    "cross": "cross-attention",
}
FIGURES: dict[Figure, str] = {"micro": "mAP, micro", "macro": "mAP, macro", "accuracy": "accuracy"}


def write_files(report: AblateReport) -> list[Path]:
    """Write all four into the ablation's folder; their paths.

    Raises:
        RunError: they cannot be written.
    """
    made = {
        "results.json": _json(report).encode(),
        "results.csv": _csv(report).encode(),
        "table.md": _markdown(report).encode(),
        "table.png": _png(report),
    }
    for name, data in made.items():
        with replacing(report.folder / name) as path:
            path.write_bytes(data)
    return [report.folder / name for name in made]


def cell(row: AblateRow, figure: Figure) -> str:
    """`77.09 ± 0.41`, in percent; without ± for one seed; a dash where nothing was measured."""
    found = row.interval(figure)
    if found is None:
        return "–"
    return f"{100 * found.mean:.2f}" + (f" ± {100 * found.half:.2f}" if found.half is not None else "")


def _measured(report: AblateReport) -> list[Figure]:
    return [figure for figure in FIGURES if any(row.interval(figure) for row in report.rows)]


def _json(report: AblateReport) -> str:
    figures = _measured(report)
    rows = [
        asdict(row) | {"interval": {name: asdict(found) for name in figures if (found := row.interval(name))}}
        for row in report.rows
    ]
    head = {"train": report.train, "held_out": report.held_out, "classes": report.classes}
    return json.dumps(head | {"rows": rows}, indent=2, allow_nan=False) + "\n"


def _csv(report: AblateReport) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("fusion", "seed", "figure", "last_epoch", "best_epoch"))
    for row in report.rows:
        for figure in _measured(report):
            for n, seed in enumerate(row.seeds):
                if figure in row.last:
                    writer.writerow((row.fusion, seed, figure, row.last[figure][n], row.best[figure][n]))
    return file.getvalue()


def _markdown(report: AblateReport) -> str:
    figures = _measured(report)
    names = [FIGURES[figure] for figure in figures]
    lines = [
        f"| fusion | {' | '.join(f'{name} (95%)' for name in names)} | seeds | paper, Animal Kingdom |",
        f"|---|{'---|' * len(names)}---|---|",
    ]
    for row in report.rows:
        cells = [cell(row, figure) for figure in figures]
        lines.append(f"| {NAMES[row.fusion]} | {' | '.join(cells)} | {len(row.seeds)} | {row.paper:.2f} |")
    return "\n".join(lines) + "\n"


def _png(report: AblateReport) -> bytes:
    from matplotlib.figure import Figure as Picture

    rows = [(row, found) for row in report.rows if (found := row.interval("micro"))]
    picture = Picture(figsize=(7.2, 1.2 + 0.45 * len(report.rows)), layout="constrained")
    axes = picture.add_subplot()
    for n, (row, found) in enumerate(rows):
        axes.barh(n, 100 * found.mean, height=0.6, color="#3d7a5c", xerr=100 * (found.half or 0), capsize=3)
        axes.plot([100 * value for value in row.last["micro"]], [n] * len(row.seeds), "o", color="#123", ms=3)
        axes.plot(row.paper, n, "D", color="#c2571a", ms=5, label="paper, Animal Kingdom" if n == 0 else None)
    axes.set_yticks(range(len(rows)), [NAMES[row.fusion] for row, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"mAP, micro, in percent, after the last epoch, on {report.held_out}")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if rows:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    data = io.BytesIO()
    picture.savefig(data, format="png", dpi=144)
    return data.getvalue()
