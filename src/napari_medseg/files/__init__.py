"""Files as a whole: replaced or left alone, locked, and JSON turned into typed objects.

Nothing else in the package replaces a file, takes a lock or reads a JSON file. Whatever is written lies under a
random hidden name next to its target until it is complete, on the disk and checked; `sweep` removes what a killed
process left.
"""

from .exports import csv_text, save_plot, save_table
from .folders import put_back, remove
from .locking import HOLDER, LOCK, Holder, holder, is_locked, lock, note
from .names import misfit, refuse_name
from .replacing import Change, abandon, is_protected, move, replace, replace_all, replace_by, replace_bytes, sweep
from .scratch import scratch
from .special import is_file, is_folder, real, refuse_special
from .typed import MAX_JSON_BYTES, dump, is_deep, load, read_json, rewrite, to_json, typed

__all__ = [
    "HOLDER",
    "LOCK",
    "MAX_JSON_BYTES",
    "Change",
    "Holder",
    "abandon",
    "csv_text",
    "dump",
    "holder",
    "is_deep",
    "is_file",
    "is_folder",
    "is_locked",
    "is_protected",
    "load",
    "lock",
    "misfit",
    "move",
    "note",
    "put_back",
    "read_json",
    "real",
    "refuse_name",
    "refuse_special",
    "remove",
    "replace",
    "replace_all",
    "replace_by",
    "replace_bytes",
    "rewrite",
    "save_plot",
    "save_table",
    "scratch",
    "sweep",
    "to_json",
    "typed",
]
