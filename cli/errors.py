"""`vimoclip errors`: which videos failed, and why."""

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from cli import options, render
from vimoclip.errors import split_hint

if TYPE_CHECKING:
    from schemas.videos import Video

COLUMNS = ("video_id", "status", "error_kind", "error", "attempts")


@render.handled
def errors(store: options.Store = options.DEFAULT_STORE, as_json: options.Json = False) -> None:
    """List the videos that could not be ingested, with the reason for each.

    On a terminal they are grouped by the kind of failure; into a pipe goes a line a video, separated by tabs: id,
    status, kind, reason and attempts.
    """
    from vimoclip.store.feature_store import FeatureStore

    rows = [row for row in FeatureStore.open(store).rows() if row.error_kind is not None and row.status != "removed"]
    rows.sort(key=lambda row: (row.error_kind or "", row.video_id))
    if as_json:
        wanted = ("video_id", "status", "path", "error_kind", "error", "attempts")
        render.print_json([{name: getattr(row, name) for name in wanted} for row in rows])
        return
    if not rows:
        render.line("No video failed.")
        return
    if render.out.is_terminal:
        _print_groups(rows)
    else:
        render.print_lines([getattr(row, name) for name in COLUMNS] for row in rows)
    render.line("Next: repair the files and ingest them, or run ingest again with --retry-failed.")


def _print_groups(rows: "list[Video]") -> None:
    """Print the failures by kind, the most frequent first: its hint, and a line a video that fits the terminal."""
    groups: dict[str, list[Video]] = {kind: [] for kind in render.counted_kinds(row.error_kind or "" for row in rows)}
    for row in rows:
        groups[render.failure_kind(row.error_kind or "")].append(row)
    width = render.out.width
    for kind, failed in groups.items():
        render.out.print(Text(f"{len(failed)} {kind}", "bold"))
        said = [split_hint(row.error or "") for row in failed]
        hint, _ = Counter(hint for _, hint in said).most_common(1)[0]
        for line in textwrap.wrap(hint, width - 2):
            render.out.print(Text(f"  {line}"))
        for row, (why, own) in zip(failed, said, strict=True):
            render.out.print(_line(row, why if own == hint else f"{why} {own}", width))


def _line(row: "Video", why: str, width: int) -> Text:
    """The id and the reason in one line; what is too long ends in an ellipsis, and a long id loses its folders."""
    name = render.one_line(row.video_id)
    why = render.one_line(why.removeprefix(f"{name.rpartition('/')[2]} "))
    status = "" if row.status == "failed" else f" ({row.status})"
    tries = f" [{row.attempts} attempts]" if row.attempts > 1 else ""
    shown = Text(name)
    while shown.cell_len > max(width // 2, width - len(why) - 10) and "/" in name:
        name = name.partition("/")[2]
        shown = Text(f"…/{name}")
    line = Text("  ").append_text(shown).append(f"{status}{tries}: {why}")
    line.truncate(width, overflow="ellipsis")
    return line
