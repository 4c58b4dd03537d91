"""The command line: thin, over the same public names as the notebooks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from kit.shell import BAD_INPUT, EXIT_STATUS, add_outputs, check_outputs, put_out

ROOT = Path(__file__).resolve().parents[1]


EXAMPLES = """examples:
  python -m kit lab                                       the notebooks, in JupyterLab
  python -m kit diagnose run.npz --out findings.html      why does my own run read 0?
  python -m kit check train.py:parts                      is anything of a step broken, before the run?
  python -m kit investigate --out findings/zero-loss.html
  python -m kit verify findings/zero-loss.html
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _Parser(
        prog="python -m kit",
        description="Zero-Loss Investigation Kit: why does the train loss read 0?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], what: str, more: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}. {more}")
        added.set_defaults(run=run)
        return added

    lab = command(
        *("lab", _lab, "open JupyterLab on the first notebook"),
        "The notebooks are opened as a copy of yours, in my_notebooks/ of the checkout; without one, of the working folder. Arguments after -- go to JupyterLab.",
    )
    lab.add_argument("--no-browser", action="store_true", help="only serve; print the address")
    lab.add_argument("--port", type=int, help="port to serve on (default: the first free one from 8888 on)")
    lab.add_argument("rest", nargs="*", help="further arguments of JupyterLab")

    diagnose = command(
        *("diagnose", _diagnose, "diagnose a recorded run"),
        f"It names the most likely cause, how sure that is, and what to do. {EXIT_STATUS}",
    )
    diagnose.add_argument(
        "recorded", type=Path, help="what kit.watch (.npz) or kit.train (.json) saved; or a log, or a folder with one"
    )
    diagnose.add_argument("--out", type=Path, help="also write a page that opens offline")
    add_outputs(diagnose)

    check = command(
        *("check", _check, "check model, loss, optimizer and one batch before the run"),
        f"It takes a few steps on the batch and says what of a step does not work. {EXIT_STATUS}",
    )
    check.add_argument(
        "parts",
        metavar="MODULE:FUNCTION",
        help="a function without arguments that returns (model, loss, batch) or (model, loss, batch, optimizer); also FILE.py:FUNCTION",
    )
    check.add_argument("--steps", type=int, help="optimizer steps (default: 20)")
    add_outputs(check)

    investigate = command(
        *("investigate", _investigate, "run every experiment and write one HTML page"),
        "The same as the notebooks, without one; it takes minutes.",
    )
    investigate.add_argument(
        "--out", type=Path, default=Path("findings/zero-loss.html"), help="the page to write (default: %(default)s)"
    )
    investigate.add_argument("--quick", action="store_true", help="shorten the overfit test, to try the page")
    investigate.add_argument("--processes", type=int, help="that train at once (default: the number of cores)")

    verify = command(
        *("verify", _verify, "check that an exported page is as it was written"),
        "Exit status: 0 it is, 1 it is not.",
    )
    verify.add_argument("page", type=Path, help="the HTML page")
    verify.add_argument("--extract", type=Path, metavar="FOLDER", help="also write its numbers as CSV and JSON files")

    causes = command(
        *("causes", _causes, "list the causes that are looked for, or explain one"),
        "What happens, what must be seen, what rules it out, what it does not prove, what to do.",
    )
    causes.add_argument("key", nargs="?", help="the key of a cause, as zero_learning_rate (default: list all)")

    bench = command(
        *("bench", _bench, "run the fault bench, in a checkout"),
        "It runs training loops with known faults, diagnoses each run and scores the answers; it takes long.",
    )
    bench.add_argument("--processes", type=int, help="runs at once (default: the number of cores)")
    bench.add_argument(
        "--store",
        type=Path,
        default=Path("findings/bench.jsonl"),
        help="keeps every run, so that a bench can be interrupted (default: %(default)s)",
    )
    bench.add_argument("--write", action="store_true", help="write the likelihoods and the runs to data/")

    data = command(
        *("data", _data, "regenerate the shipped scenes and the recorded faulty run"),
        "The scenes are the same file wherever the libraries round alike; the run is trained again.",
    )
    data.add_argument("--folder", type=Path, help="where to write (default: the data folder of a checkout)")

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name from a file may hold what no terminal can show
    options = parser.parse_args(arguments)
    return options.run(options)


class _Parser(argparse.ArgumentParser):
    """argparse ends with 2, which says here that a run could not be judged."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(BAD_INPUT, f"{self.prog}: error: {message}\n")


def _refuse(error: object) -> int:
    """One line on the error stream; the exit status of what was not done."""
    print(error, file=sys.stderr)
    return BAD_INPUT


def _absent(part: str) -> str:
    """What to say where a part that only a checkout has is not there; empty where it is."""
    return "" if (ROOT / part).exists() else f"{part} should be in {ROOT}. Found nothing; run this in a checkout."


def _lab(options: argparse.Namespace) -> int:
    from kit import lab
    from kit.files import INSTALLED_NOTEBOOKS, NOTEBOOKS, WORKING_COPY, sentence

    first = "00_start_here.ipynb"
    root, notebooks = ROOT, ROOT / NOTEBOOKS
    if absent := _absent(f"{NOTEBOOKS}/{first}"):  # an installed kit has them inside, and works where it is called
        root, notebooks = Path.cwd(), INSTALLED_NOTEBOOKS
        if not notebooks.is_dir():
            return _refuse(absent)
    try:
        port = lab.choose_port(options.port)
        print(lab.working_copy(root, notebooks))
    except (lab.PortError, OSError) as error:
        return _refuse(sentence(error, "write"))
    if options.port is None and port != lab.FIRST_PORT:
        print(f"port {lab.FIRST_PORT} is in use; serving on port {port}.")
    sys.stdout.flush()
    notebook = f"{WORKING_COPY}/{first}"
    return lab.serve(root, notebook, port=port, browser=not options.no_browser, rest=options.rest)


def _investigate(options: argparse.Namespace) -> int:
    import torch
    from tqdm import tqdm

    from kit.files import sentence
    from kit.report import check_path
    from kit.studies import investigate, write_investigation
    from kit.studies.elsewhere import cores
    from kit.studies.report import STAGES

    processes = cores() if options.processes is None else options.processes
    if processes < 1:
        return _refuse(f"--processes should be >= 1. Found --processes {processes}.")
    try:
        check_path(options.out)
    except (OSError, ValueError) as error:
        return _refuse(error)
    # the networks are small: with as many threads as cores, anything else on the machine slows them tenfold
    torch.set_num_threads(1)
    command = "python -m kit investigate" + (" --quick" if options.quick else "")
    with tqdm(total=STAGES, desc="investigating", unit="experiment", file=sys.stderr) as bar:

        def progress(stage: str) -> None:
            bar.set_postfix_str(stage)
            bar.update()

        try:
            findings = investigate(quick=options.quick, processes=processes, command=command, progress=progress)
        except FileNotFoundError as error:
            bar.close()
            return _refuse(error)
    try:
        written = write_investigation(options.out, findings)
    except (OSError, ValueError) as error:
        return _refuse(sentence(error, "write"))
    print(written.sentence)
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    from kit.diagnosis import diagnose
    from kit.files import sentence
    from kit.logs import explained, load_run
    from kit.training import TrainingHistory

    try:
        check_outputs(options)
        if options.out is not None:
            from kit.report import check_path

            check_path(options.out)
        run = load_run(options.recorded, {"kit.TrainingHistory": TrainingHistory.load})
        diagnosis = diagnose(run)
    except (OSError, ValueError, ImportError) as error:
        return _refuse(sentence(error))
    try:
        status = put_out(diagnosis, options, explained(run, diagnosis))
    except OSError as error:
        return _refuse(sentence(error, "write"))
    if options.out is not None:
        from kit.report import write_html
        from kit.studies import diagnosis_finding

        try:
            command = f"python -m kit diagnose {options.recorded.name}"
            written = write_html(options.out, diagnosis_finding(diagnosis, run, command=command))
        except (OSError, ValueError) as error:
            return _refuse(sentence(error, "write"))
        print(written.sentence, file=sys.stderr)
    return status


def _check(options: argparse.Namespace) -> int:
    import traceback

    from kit.diagnosis import check
    from kit.diagnosis.parts import PartsError, made_by
    from kit.files import sentence

    asked = {} if options.steps is None else {"steps": options.steps}
    try:
        check_outputs(options)
        diagnosis = check(**{**made_by(options.parts), **asked})
    except (OSError, PartsError) as error:
        return _refuse(sentence(error))
    except Exception as error:  # noqa: BLE001 - the program of the user runs here; where it fails, its traceback says
        if error.__cause__ is not None or not isinstance(error, TypeError | ValueError):
            traceback.print_exc()
        return _refuse(f"{options.parts}: {error}")
    try:
        return put_out(diagnosis, options, diagnosis.explain())
    except OSError as error:
        return _refuse(sentence(error, "write"))


def _causes(options: argparse.Namespace) -> int:
    from kit.hypotheses import ALL, explain_cause, find_cause, list_causes

    try:
        print(list_causes(ALL) if options.key is None else explain_cause(find_cause(options.key, ALL)))
    except ValueError as error:
        return _refuse(error)
    return 0


def _bench(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from kit.diagnosis import scoring
    from kit.files import DATA, check_file, write_atomically
    from kit.hypotheses.likelihoods import FILE

    if absent := _absent("tests/bench"):
        return _refuse(absent)
    try:
        for path in (options.store, *((DATA / FILE, DATA / scoring.RUNS_FILE) if options.write else ())):
            check_file(path)
    except OSError as error:
        return _refuse(error)
    sys.path.insert(0, str(ROOT))  # the programs of the bench are test material, not part of the kit
    from tests.bench import running

    trials = list(running.all_trials())
    with tqdm(total=len(trials), desc="bench", unit="run", file=sys.stderr) as bar:

        def progress(done: int, of: int) -> None:
            bar.update(done - bar.n)

        runs = running.run_bench(trials, store=options.store, processes=options.processes, progress=progress)
    likelihoods = scoring.count(runs)
    score = scoring.score(runs, likelihoods)
    print(score.confusion.to_string())
    print(score)
    if options.write:
        for name, text in ((FILE, likelihoods.to_csv()), (scoring.RUNS_FILE, scoring.to_csv(runs))):
            print(f"wrote {write_atomically(DATA / name, text)}")
    return 0


def _data(options: argparse.Namespace) -> int:
    from kit.datasets import regenerate
    from kit.files import check_folder, sentence

    if options.folder is None and (absent := _absent("data/README.md")):
        return _refuse(f"{absent[:-1]}, or say where to write: --folder FOLDER")
    folder = ROOT / "data" if options.folder is None else options.folder
    try:
        check_folder(folder)
        written = regenerate(folder)
    except OSError as error:
        return _refuse(sentence(error, "write"))
    print(f"wrote {written.scenes} and {written.faulty_run}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from kit.files import check_folder, sentence
    from kit.report import PageError, verify

    try:
        if options.extract is not None:
            check_folder(options.extract)
    except OSError as error:
        return _refuse(error)
    try:
        page = verify(options.page)
        written = [] if options.extract is None else page.extract(options.extract)
    except (PageError, OSError) as error:
        print(sentence(error), file=sys.stderr)
        return 1
    print(page)
    if options.extract is not None:
        print(f"wrote {len(written)} files to {options.extract.as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
