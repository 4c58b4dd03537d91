"""The command line: thin, over the same public names as the notebooks."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit", description="Zero-Loss Investigation Kit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    lab = commands.add_parser("lab", help="open JupyterLab on the first notebook (arguments after -- go to JupyterLab)")
    lab.add_argument("--no-browser", action="store_true", help="only serve; print the address")
    lab.add_argument("--port", type=int, help="port to serve on")
    lab.add_argument("rest", nargs="*", help="further arguments of JupyterLab")
    lab.set_defaults(run=_lab)

    investigate = commands.add_parser("investigate", help="run every experiment and write one HTML page")
    investigate.add_argument(
        "--out", default="findings/zero-loss.html", help="the page to write (default: %(default)s)"
    )
    investigate.add_argument("--quick", action="store_true", help="shorten the overfit test, to try the page")
    investigate.set_defaults(run=_investigate)

    diagnose = commands.add_parser(
        "diagnose", help="diagnose a recorded run: a trace (.npz) or a training history (.json)"
    )
    diagnose.add_argument("recorded", type=Path, help="what kit.watch or kit.train saved")
    diagnose.add_argument("--out", type=Path, help="also write a page that opens offline")
    diagnose.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    diagnose.set_defaults(run=_diagnose)

    bench = commands.add_parser("bench", help="run the fault bench: put known causes in, diagnose, score")
    bench.add_argument("--processes", type=int, help="runs at once (default: the number of cores)")
    bench.add_argument(
        "--store",
        type=Path,
        default=Path("findings/bench.jsonl"),
        help="keeps every run, so that a bench can be interrupted (default: %(default)s)",
    )
    bench.add_argument("--write", action="store_true", help="write the likelihoods and the runs to data/")
    bench.set_defaults(run=_bench)

    data = commands.add_parser("data", help="regenerate the shipped scenes and the recorded sick run")
    data.add_argument("--folder", type=Path, default=ROOT / "data", help="where to write (default: the data folder)")
    data.set_defaults(run=_data)

    verify = commands.add_parser("verify", help="check that an exported page is as it was written")
    verify.add_argument("page", type=Path, help="the HTML page")
    verify.add_argument("--extract", type=Path, metavar="FOLDER", help="also write its numbers as CSV and JSON files")
    verify.set_defaults(run=_verify)

    options = parser.parse_args(arguments)
    return options.run(options)


def _lab(options: argparse.Namespace) -> int:
    notebook = ROOT / "notebooks" / "00_start_here.ipynb"
    if not notebook.is_file():
        print(
            f"notebooks/00_start_here.ipynb should be in {ROOT}. Found nothing; run this in a checkout.",
            file=sys.stderr,
        )
        return 2
    command = [
        *(sys.executable, "-m", "jupyterlab", str(notebook.relative_to(ROOT)), f"--ServerApp.root_dir={ROOT}"),
        # no news, no update check: nothing here goes online
        *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
    ]
    if options.no_browser:
        command.append("--no-browser")
    if options.port is not None:
        command.append(f"--ServerApp.port={options.port}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container there is often no other user
    try:
        return subprocess.call([*command, *options.rest], cwd=ROOT)
    except KeyboardInterrupt:
        return 130


def _investigate(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from kit.investigation import investigate, write_investigation
    from kit.investigation.whole import STAGES

    command = "python -m kit investigate" + (" --quick" if options.quick else "")
    with tqdm(total=STAGES, desc="investigating", unit="experiment", file=sys.stderr) as bar:

        def progress(stage: str) -> None:
            bar.set_postfix_str(stage)
            bar.update()

        try:
            findings = investigate(quick=options.quick, command=command, progress=progress)
        except FileNotFoundError as error:
            bar.close()
            print(error, file=sys.stderr)
            return 2
    try:
        written = write_investigation(options.out, findings)
    except (OSError, ValueError) as error:
        print(f"could not write the page: {error}", file=sys.stderr)
        return 2
    print(repr(written))
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    import json

    from kit.diagnosis import diagnose
    from kit.training import TrainingHistory
    from kit.watch import Trace

    try:
        load = TrainingHistory.load if options.recorded.suffix == ".json" else Trace.load
        run = load(options.recorded)
        diagnosis = diagnose(run)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(diagnosis.to_dict(), indent=1) if options.json else diagnosis.explain())
    if options.out is not None:
        from kit.investigation.own_page import diagnosis_finding
        from kit.report import write_html

        try:
            command = f"python -m kit diagnose {options.recorded.name}"
            written = write_html(options.out, diagnosis_finding(diagnosis, run, command=command))
        except (OSError, ValueError) as error:
            print(f"could not write the page: {error}", file=sys.stderr)
            return 2
        print(repr(written), file=sys.stderr)
    return 0


def _bench(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from kit import bench
    from kit.files import DATA, write_atomically
    from kit.hypotheses.likelihoods import FILE

    trials = list(bench.all_trials())
    with tqdm(total=len(trials), desc="bench", unit="run", file=sys.stderr) as bar:

        def progress(done: int, of: int) -> None:
            bar.update(done - bar.n)

        lines = bench.run_bench(trials, store=options.store, processes=options.processes, progress=progress)
    likelihoods = bench.count(lines)
    score = bench.score(lines, likelihoods)
    print(score.confusion.to_string())
    print(score)
    if options.write:
        for name, text in ((FILE, likelihoods.to_csv()), (bench.RUNS_FILE, bench.to_csv(lines))):
            print(f"wrote {write_atomically(DATA / name, text)}")
    return 0


def _data(options: argparse.Namespace) -> int:
    from kit.datasets import regenerate

    written = regenerate(options.folder)
    print(f"wrote {written.scenes} and {written.sick_run}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from kit.report import PageError, verify

    try:
        page = verify(options.page)
        written = [] if options.extract is None else page.extract(options.extract)
    except (PageError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(page)
    if options.extract is not None:
        print(f"wrote {len(written)} files to {options.extract.as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
