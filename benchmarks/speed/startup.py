"""How long `vimoclip --help` takes, in a fresh process each time, and which heavy packages it imports (none).

python -m benchmarks.speed.startup
"""

import statistics
import subprocess
import sys
import time

from rich.console import Console

from benchmarks.common import describe_machine

HEAVY = ("torch", "ray", "lance", "lancedb", "polars", "pyarrow", "open_clip")


def main() -> None:
    """Measure and print."""
    times = []
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "vimoclip", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    probe = (
        "import sys\nfrom cli.main import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    print(*sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True).stdout
    imported = [name for name in HEAVY if name in printed.splitlines()[-1].split()]
    console = Console(soft_wrap=True)
    console.print(describe_machine())
    console.print(f"vimoclip --help: median {statistics.median(times):.2f} s, worst {max(times):.2f} s of {len(times)}")
    console.print(f"of {', '.join(HEAVY)} it imports: {', '.join(imported) or 'none'}")


if __name__ == "__main__":
    main()
