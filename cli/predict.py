"""`vimoclip predict`: behaviours in videos, by a trained run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli import options, render

if TYPE_CHECKING:
    from vimoclip.prediction.predictions import Predictions

Form = Literal["aggregated", "tabular"]  # as in vimoclip/prediction/export.py, which --help must not load


@render.handled
def predict(
    names: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files, folders, or ids of stored videos: site/*.MP4.")
    ],
    run_folder: Annotated[Path, typer.Option("--run", help="The folder of a finished run.")],
    window: Annotated[
        str | None, typer.Option(help="Score windows of this length: 2s, 500ms.", show_default="whole videos")
    ] = None,
    stride: Annotated[
        str | None,
        typer.Option(help="Time from the start of one window to the next.", show_default="half a window"),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Windows with at least this probability become bouts.")] = 0.5,
    top: Annotated[int, typer.Option(min=0, help="Labels per video; 0 is all.")] = 5,
    out: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Write the predictions to a .csv or .json file.")
    ] = None,
    boris: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the bouts as BORIS events, .csv or .tsv.")
    ] = None,
    boris_form: Annotated[
        Form,
        typer.Option(
            help="For --boris: a line per bout, or a line each for START and STOP.", rich_help_panel=options.ADVANCED
        ),
    ] = "aggregated",
    timeline: Annotated[
        Path | None, typer.Option(help="Draw ethograms into a folder, or a single one as a .png.")
    ] = None,
    store: options.Store = options.DEFAULT_STORE,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    as_json: options.Json = False,
) -> None:
    """Predict behaviours: labels with probabilities for each video and, with --window, bouts in long videos.

    Stored videos are read, not computed again; other files are decoded and embedded with the store's settings.
    """
    from cli.options import seconds
    from cli.progress import ProgressBar
    from pipelines.predict import PredictRequest, run
    from vimoclip.config.store import RunConfig
    from vimoclip.prediction.predictor import WindowOptions

    request = PredictRequest(
        store=store,
        folder=run_folder,
        names=names,
        windows=WindowOptions(seconds("--window", window), seconds("--stride", stride), threshold),
        top=top,
        out=tuple(out or ()),
        boris=boris,
        form=boris_form,
        timeline=timeline,
        run=RunConfig(device=device, threads=threads),
    )
    with ProgressBar() as progress:
        report = run(request, progress)
    predictions = report.predictions
    if as_json:
        render.print_json(predictions.to_dict(top) | {"files": report.files, "seconds": report.seconds})
    else:
        _print(predictions, top)
    for path in report.files:
        render.err.print(str(path), markup=False, highlight=False)
    done = f"{render.count(len(predictions), 'video')} in {report.seconds:.1f} s, {len(predictions.failed)} failed."
    render.err.print(done, markup=False, highlight=False)
    if predictions.left:
        render.err.print(f"Interrupted, with {render.count(predictions.left, 'video')} left.", highlight=False)
        raise typer.Exit(render.INTERRUPTED)
    if predictions.failed:
        raise typer.Exit(render.SOME_FAILED)


def _print(predictions: "Predictions", top: int) -> None:
    from vimoclip.training.metrics import percent

    rows = [
        (
            each.video,
            f"{each.duration_s:.2f}",
            ", ".join(f"{label} {percent(score)}" for label, score in each.labels(top)),
        )
        for each in predictions
    ]
    if rows:
        what = "in their best windows" if predictions.window_s is not None else "as a whole"
        title = f"Videos {what}, by {predictions.run}"
        render.print_table(render.out, title, ("video", "s", "labels, %"), rows, ("s",))
    if predictions.window_s is None:
        return
    bouts = [
        (each.video, f"{bout.start_s:.2f}", f"{bout.end_s:.2f}", bout.label, percent(bout.score))
        for each in predictions
        for bout in each.bouts
    ]
    title = f"Bouts: windows of {predictions.window_s:g} s, of at least {percent(predictions.threshold)}%"
    columns = ("video", "from s", "to s", "label", "%")
    render.print_table(render.out, title, columns, bouts, ("from s", "to s", "%"))
    if not bouts and (best := predictions.best_window()) is not None:
        video, label, score, start_s, _ = best
        said = f"No bout reaches {percent(predictions.threshold)}%; the best is {label} with {percent(score)}%"
        render.err.print(f"{said} at {start_s:.2f} s of {video.video}.", markup=False, highlight=False)
