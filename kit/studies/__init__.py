"""The questions of the notebooks, as data: what is run, what is claimed, what is shown, and what the page says of it.

    study = kit.studies.nan_gradients
    guess = study.guess()                  # buttons: what does the reader expect?
    results = study.run()                  # one batch, then every setup, trained
    results.table                          # a DataFrame: one row per run
    results.show("curves")                 # a figure or a table
    results.judge(guess)                   # what was measured decides
    results.finding(results.panel())       # the page entry

    run = kit.studies.watched("train.py", "--epochs", "3")     # anybody's script, or a function, under a watch

`setup` what a run changes · `study` the shape of all of them · `symptom`, `tables` what they share · `questions/` one file each.
"""

from kit.studies.causes import causes_table, ranked_table
from kit.studies.diagnosis_page import diagnosis_finding
from kit.studies.own_program import watched
from kit.studies.probed_batch import blended_predict, one_batch
from kit.studies.questions.fault_bench import STUDY as fault_bench
from kit.studies.questions.faults_of_the_loop import STUDY as faults_of_the_loop
from kit.studies.questions.loss_initialisation import STUDY as loss_initialisation
from kit.studies.questions.loss_weights import STUDY as loss_weights
from kit.studies.questions.missing_prediction import STUDY as missing_prediction
from kit.studies.questions.nan_gradients import STUDY as nan_gradients
from kit.studies.questions.overfit import STUDY as overfit
from kit.studies.questions.ranking import STUDY as ranking
from kit.studies.questions.the_reports_fix import STUDY as the_reports_fix
from kit.studies.questions.your_own_run import STUDY as your_own_run
from kit.studies.questions.zero_outputs import STUDY as zero_outputs
from kit.studies.report import investigate, write_investigation
from kit.studies.setup import Setup
from kit.studies.study import Results, Study
from kit.studies.tables import Claim

__all__ = [
    "Claim",
    "Results",
    "Setup",
    "Study",
    "blended_predict",
    "causes_table",
    "diagnosis_finding",
    "fault_bench",
    "faults_of_the_loop",
    "investigate",
    "loss_initialisation",
    "loss_weights",
    "missing_prediction",
    "nan_gradients",
    "one_batch",
    "overfit",
    "ranked_table",
    "ranking",
    "the_reports_fix",
    "watched",
    "write_investigation",
    "your_own_run",
    "zero_outputs",
]
