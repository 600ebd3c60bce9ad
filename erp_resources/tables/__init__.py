"""Files of a user's own: tables in Parquet, JSON and CSV, whose rows errors can name.

What belongs here: how such a file is read, a module for each format, and how its columns become texts and numbers.
What to keep out: what the columns mean (`prompt_sources.file`, `recorded`).
"""

from erp_resources.tables.messages import conversation, last_user_turn
from erp_resources.tables.names import check_column, find_column, listed, text_column
from erp_resources.tables.nested import flatten
from erp_resources.tables.opening import FORMATS, check_file, form_of, told
from erp_resources.tables.reading import (
    beginning,
    columns_in,
    lists_in,
    read_cells,
    read_document,
    read_many,
    read_rows,
    read_values,
    rows_of,
)
from erp_resources.tables.rows import Rows

__all__ = [
    "FORMATS",
    "Rows",
    "beginning",
    "check_column",
    "check_file",
    "columns_in",
    "conversation",
    "find_column",
    "flatten",
    "form_of",
    "last_user_turn",
    "listed",
    "lists_in",
    "read_cells",
    "read_document",
    "read_many",
    "read_rows",
    "read_values",
    "rows_of",
    "text_column",
    "told",
]
