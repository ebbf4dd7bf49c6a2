"""The command line, one file a verb.

Exit codes: 0 done; 1 something failed inside (please report it); 2 something in what was given is wrong,
said in one message and without a traceback; 130 interrupted. With --json the result goes to standard output
as one JSON object {command, version, inputs, result} (or {..., error}) and nothing else does; progress and
messages go to standard error. Heavy imports happen inside the verbs.
"""

# In the order of --help: the seven steps, then what goes beside them.
from . import audit, bill, flexibility, study, size, simulate, offers, explain, tariff, init, import_, status  # noqa: F401, I001
from .app import app, main, run

__all__ = ["app", "main", "run"]
