"""The house: which package may import which, that nothing runs in a circle, and how the modules are cut.

An import is one wherever it stands, in a function or under TYPE_CHECKING too.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("schemas", "vimoclip", "pipelines", "cli")

LAYERS: tuple[tuple[str, ...], ...] = (
    ("vimoclip.errors", "vimoclip.progress", "schemas"),
    ("vimoclip.frames", "vimoclip.bouts", "vimoclip.prefetch", "vimoclip.import_guard"),
    ("vimoclip.config", "vimoclip.atomic", "vimoclip.annotations"),
    ("vimoclip.device", "vimoclip.video", "vimoclip.windows"),
    ("vimoclip.flow", "vimoclip.savannah"),
    ("vimoclip.models", "vimoclip.store"),
    ("vimoclip.embedding", "vimoclip.sequences"),
    ("vimoclip.search", "vimoclip.training"),
    ("vimoclip.prediction",),
    ("vimoclip.api",),
    ("vimoclip",),
    ("pipelines",),
    ("pipelines.demo",),
    ("cli",),
    ("vimoclip.__main__",),
)
"""From the lowest to the highest: each imports what stands below it, and nothing beside or above it."""

SHORT = {  # modules under 60 lines: why each is one by itself
    "vimoclip/__main__.py": "`python -m vimoclip`",
    "vimoclip/api.py": "stands above search and prediction, and nothing inside imports it",
    "vimoclip/flow/frame_difference.py": "an estimator is a module",
    "vimoclip/import_guard.py": "runs before anything else may be imported",
    "vimoclip/savannah/species.py": "the registry of species, above the modules that draw them",
    "vimoclip/search/options.py": "--help reads it, and nothing heavy with it",
    "vimoclip/store/upgrade.py": "writes what every other module of the store may rely on",
    "vimoclip/video/probe.py": "needs a decoder, which whoever finds or checks files (files.py) must not load",
}
HEIGHT = {package: number for number, layer in enumerate(LAYERS) for package in layer}


def module(path: Path, root: Path) -> str:
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    return name.removesuffix(".__init__")


def package(name: str) -> str:
    """The entry of LAYERS that a module belongs to."""
    parts = name.split(".")
    known = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((each for each in known if each in HEIGHT), name)


def sources(root: Path) -> dict[str, Path]:
    return {module(path, root): path for each in OURS for path in sorted((root / each).rglob("*.py"))}


def arrows(root: Path) -> Iterator[tuple[str, str]]:
    """(importer, imported), of our modules."""
    files = sources(root)
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                found = [f"{node.module}.{each.name}" for each in node.names]
                yield from ((name, each if each in files else node.module) for each in found)
            elif isinstance(node, ast.Import):
                yield from ((name, each.name) for each in node.names)


def faults(root: Path) -> list[str]:
    """Arrows that lead to a package beside or above, and circles of modules, in words."""
    files = sources(root)
    found = []
    below: dict[str, set[str]] = {name: set() for name in files}
    for importer, imported in arrows(root):
        if imported not in files or imported == importer:
            continue
        below[importer].add(imported)
        here, there = package(importer), package(imported)
        if here != there and HEIGHT[there] >= HEIGHT[here]:
            found.append(f"{importer} imports {imported}, which does not stand below it")
    return sorted({*found, *circles(below)})


def circles(below: Mapping[str, set[str]]) -> Iterator[str]:
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> Iterator[str]:
        if name in path:
            yield " → ".join((*path[path.index(name) :], name))
        elif name not in done:
            for each in sorted(below[name]):
                yield from walk(each, (*path, name))
            done.add(name)

    for name in below:
        yield from walk(name, ())


def test_imports_go_one_way() -> None:
    assert faults(ROOT) == []


def test_every_package_has_its_place() -> None:
    assert {package(name) for name in sources(ROOT)} == set(HEIGHT)


@pytest.mark.parametrize(
    ("path", "line", "fault"),
    [
        ("vimoclip/store/writer.py", "import vimoclip.search.search", "vimoclip.store.writer imports"),
        ("vimoclip/frames.py", "def f():\n    from vimoclip.store import table", "vimoclip.frames imports"),
        ("schemas/labels.py", "from pipelines.label import run", "schemas.labels imports"),
        ("vimoclip/training/losses.py", "from vimoclip.training.fusion import scores", " → "),
    ],
)
def test_a_planted_arrow_is_found(tmp_path: Path, path: str, line: str, fault: str) -> None:
    for each in OURS:
        for source in (ROOT / each).rglob("*.py"):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    assert faults(tmp_path) == []
    with (tmp_path / path).open("a", encoding="utf-8") as file:
        file.write(f"\n\n{line}\n")
    assert any(fault in each for each in faults(tmp_path))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_modules_are_deep() -> None:
    """`__init__.py` files, which name what is in a package, are not counted."""
    modules = [path for path in (ROOT / "vimoclip").rglob("*.py") if path.name != "__init__.py"]
    short = {str(path.relative_to(ROOT)) for path in modules if lines(path) < 60}
    assert short == set(SHORT) and len(short) <= 8
    assert len(list((ROOT / "vimoclip").glob("*.py"))) <= 14


def test_a_public_name_means_one_thing() -> None:
    """No two modules of the library define the same public name, but for the words of an interface."""
    names: dict[str, list[str]] = {}
    for name, path in sources(ROOT).items():
        if not name.startswith(("vimoclip", "schemas")):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                names.setdefault(node.name, []).append(name)
    twice = {name: where for name, where in names.items() if len(where) > 1 and name not in INTERFACES}
    assert twice == {}


INTERFACES = {
    "build": "a module of heads",
    "read": "a reader of label files",
    "sniff": "a reader of label files",
    "vectors": "vimoclip.vectors is that of vimoclip.frames",
}
"""Names that several modules define because each is one more of a kind."""


ELSEWHERE = {"benchmarks", "docs", "end_to_end"}  # folders of tests that are of no single package
COMMANDS = {"tests/cli/test_commands.py", "tests/vimoclip/annotations/test_readers.py"}  # of a package as a whole


def test_tests_mirror_the_packages() -> None:
    """Every test file is called after a module of the package that its folder stands for, with a topic behind it."""
    strangers = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = path.relative_to(ROOT / "tests").parent
        if folder == Path() or folder.parts[0] in ELSEWHERE or str(path.relative_to(ROOT)) in COMMANDS:
            continue
        words = path.stem.removeprefix("test_").split("_")
        names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
        if not any((ROOT / folder / f"{name}.py").is_file() for name in names):
            strangers.append(str(path.relative_to(ROOT)))
    assert strangers == []
