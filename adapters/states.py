"""The vendors' words for the state of an export job, looked up; a word that no table knows is no error."""

import logging
from collections import Counter
from collections.abc import Mapping

from audiencegateway.v1.export_jobs_pb2 import ExportJob

LOG = logging.getLogger(__name__)

FINAL = frozenset({ExportJob.SUCCEEDED, ExportJob.PARTIALLY_SUCCEEDED, ExportJob.FAILED, ExportJob.CANCELLED})
"""States that a job never leaves."""
MAX_WORDS = 1000
MAX_WORD_CHARS = 64

UNRECOGNIZED: Counter[tuple[str, str]] = Counter()
"""How often each vendor said each word that its table does not know; at most `MAX_WORDS` different ones."""


def lookup(table: Mapping[str, ExportJob.State.ValueType], word: str, vendor: str) -> ExportJob.State.ValueType:
    """Return what a vendor's *word* stands for, whatever its case; the keys of *table* are in lower case.

    A word that is not there is UNRECOGNIZED: counted, and logged the first time.
    """
    state = table.get(word.lower())
    if state is not None:
        return state
    key = (vendor, word[:MAX_WORD_CHARS])
    if key not in UNRECOGNIZED and len(UNRECOGNIZED) < MAX_WORDS:
        LOG.warning("%s: %a is no state that is known here", *key)
        UNRECOGNIZED[key] = 0
    if key in UNRECOGNIZED:
        UNRECOGNIZED[key] += 1
    return ExportJob.UNRECOGNIZED_STATE
