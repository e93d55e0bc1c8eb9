"""The page: page.html.jinja filled with what was found. Whatever a store says is text in it, never markup."""

from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.demo.report import WITH, WITHOUT, Findings

HERE = Path(__file__).parent


def page(found: Findings) -> str:
    """HTML, complete in itself."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "size": _size, "seconds": _seconds, "day": _day}
    return environment.get_template("page.html.jinja").render(found=found, without=WITHOUT, with_motion=WITH)


def _percent(fraction: float, digits: int = 0) -> str:
    """Halves upwards: 5 of 8 is 63%, not 62%."""
    return f"{100 * fraction + 1e-9:.{digits}f}"


def _size(count: float) -> str:
    """Bytes, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else f"{value / 60:.1f} min"


def _day(iso: str) -> str:
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M")
