"""The two walls of the architecture, read off the import statements."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

KIT = Path(__file__).resolve().parents[1] / "kit"

SYSTEM = {"array", "covariance", "model", "loss", "training", "faults", "datasets"}
INSTRUMENTS = {"stepgraph", "recording", "whatif", "hypotheses", "diagnosis", "logs", "integrations"}
VIEWS = {"plots", "panel", "report", "journal"}
LIVE = {"live"}  # a view that trains: it sees all below it, and no view sees it
SEE_ALL = {"__init__", "__main__", "shell", "studies", "lab", *LIVE}
SHARED = {"files", "renamed"}  # knows nothing of the others, so any of them may use it
DRAWING = {"matplotlib", "PIL", "ipywidgets", "anywidget", "jinja2", "markupsafe", "IPython", "traitlets"}

ORDER_OF_THE_SYSTEM = ("array", "covariance", "model", "loss", "training", "faults", "datasets")
ORDER_OF_THE_INSTRUMENTS = ("stepgraph", "recording", "diagnosis", "integrations")
ORDER_OF_THE_VIEWS = ("plots", "panel", "report", "journal")


def _parts() -> dict[str, list[Path]]:
    parts: dict[str, list[Path]] = {}
    for path in sorted(KIT.rglob("*.py")):
        parts.setdefault(path.relative_to(KIT).parts[0].removesuffix(".py"), []).append(path)
    return parts


def _imported(path: Path) -> set[str]:
    """Top-level packages and, for the kit itself, its parts ("kit.stepgraph")."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports should be absolute"
            names = [f"kit.{alias.name}" for alias in node.names] if node.module == "kit" else [node.module]
        else:
            continue
        found |= {".".join(name.split(".")[:2]) if name.startswith("kit.") else name.split(".")[0] for name in names}
    return found


def _kit_parts_of(part: str) -> set[str]:
    imported = set().union(*(_imported(path) for path in _parts()[part]))
    return {name.removeprefix("kit.") for name in imported if name.startswith("kit.")} - {part}


def test_every_part_stands_on_one_side():
    known = SYSTEM | INSTRUMENTS | VIEWS | SEE_ALL | SHARED
    assert set(_parts()) <= known, f"parts without a place in the architecture: {set(_parts()) - known}"


@pytest.mark.parametrize("part", sorted(SYSTEM & set(_parts())))
def test_wall_1_the_system_knows_no_instrument(part):
    assert not _kit_parts_of(part) & (INSTRUMENTS | VIEWS | SEE_ALL)


@pytest.mark.parametrize("part", sorted(INSTRUMENTS & set(_parts())))
def test_wall_1_the_instruments_know_no_system(part):
    assert not _kit_parts_of(part) & (SYSTEM | VIEWS | SEE_ALL)


@pytest.mark.parametrize("part", sorted(VIEWS & set(_parts())))
def test_wall_2_views_get_results_not_the_machinery(part):
    assert not _kit_parts_of(part) & (SYSTEM | (INSTRUMENTS - {"whatif"}) | SEE_ALL)


@pytest.mark.parametrize("part", sorted(set(_parts()) - VIEWS - LIVE))
def test_only_views_draw(part):
    for path in _parts()[part]:
        assert not _imported(path) & DRAWING, path


@pytest.mark.parametrize(
    "order",
    [ORDER_OF_THE_SYSTEM, ORDER_OF_THE_INSTRUMENTS, ORDER_OF_THE_VIEWS],
    ids=["system", "instruments", "views"],
)
def test_arrows_run_one_way(order):
    for position, part in enumerate(order):
        assert not _kit_parts_of(part) & set(order[position + 1 :]), f"{part} imports what comes after it"


def test_the_probe_needs_torch_and_tables_only():
    outside = set().union(*(_imported(path) for path in _parts()["stepgraph"]))
    third_party = {name for name in outside if name.split(".")[0] not in _standard_library() | {"kit"}}
    assert third_party <= {"torch", "numpy", "pandas"}


def test_no_circle_between_files():
    """Every import counts: those inside functions and under TYPE_CHECKING, too."""
    import graphlib

    files = {_module(path): path for path in KIT.rglob("*.py")}
    arrows = {name: _modules_imported(path, files) - {name} for name, path in files.items() if path.stem != "__init__"}
    try:
        tuple(graphlib.TopologicalSorter(arrows).static_order())
    except graphlib.CycleError as error:
        raise AssertionError(" -> ".join(reversed(error.args[1]))) from None


def _module(path: Path) -> str:
    return ".".join(path.relative_to(KIT.parent).with_suffix("").parts).removesuffix(".__init__")


def _modules_imported(path: Path, files: dict[str, Path]) -> set[str]:
    """The files whose names are taken; a name that a package's __init__ hands on counts for the file that defines it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {_source(node.module, alias.name, files) for alias in node.names}
    return {name for name in found if name in files and files[name].stem != "__init__"}


def _source(module: str | None, name: str, files: dict[str, Path]) -> str:
    """Where a name comes from, through as many packages as hand it on."""
    if f"{module}.{name}" in files:
        return f"{module}.{name}"
    path = files.get(str(module))
    if path is None or path.stem != "__init__":
        return str(module)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
            return _source(node.module, name, files)
    return str(module)


def _handed_on(package: Path) -> set[str]:
    """Names that a package's __init__ takes from a module or makes itself: functions, classes, values."""
    found = set()
    for node in ast.parse((package / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            names = [(alias.name, alias.asname or alias.name) for alias in node.names]
            inside = Path(*str(node.module).split("."))
            found |= {known for name, known in names if not _is_module(KIT.parent / inside / name)}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


def _is_module(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


PACKAGES = sorted(path.parent for path in KIT.rglob("__init__.py") if path.parent.name != "investigation")


@pytest.mark.parametrize("package", PACKAGES, ids=[path.name for path in PACKAGES])
def test_no_name_of_a_package_hides_a_module_of_it(package):
    """Else `import kit.report.verify` gives the module and `kit.report.verify` the function, by the order of the day."""
    modules = {path.stem if path.is_file() else path.name for path in package.iterdir() if _is_module(path)}
    assert not _handed_on(package) & modules


def test_the_front_door_hides_no_package():
    import inspect

    import kit

    hidden = [name for name in kit.__all__ if name in _parts() and not inspect.ismodule(getattr(kit, name))]
    assert not hidden


def test_importing_the_kit_loads_no_view():
    import subprocess
    import sys

    code = "import sys, kit; print(sorted({'matplotlib', 'ipywidgets', 'anywidget', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=KIT.parent)
    assert done.stdout.strip() == "[]"


GUESTS = {"accelerate", "transformers", "ignite", "keras", "lightning", "pytorch_lightning", "skorch"}


def test_no_other_trainer_is_imported_until_its_callback_is_used():
    """Read in the files, where an import would stand, and seen in a process that looks at the package itself."""
    import subprocess
    import sys

    assert not {name for paths in _parts().values() for path in paths for name in _imported(path)} & GUESTS
    code = f"import sys, kit; dir(kit.integrations); print(sorted({GUESTS!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=KIT.parent)
    assert done.stdout.strip() == "[]"


def _standard_library() -> frozenset[str]:
    import sys

    return sys.stdlib_module_names
