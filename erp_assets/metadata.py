"""What an evaluation shows beside its partitions in the UI: one picture and one table.

What belongs here: how they become metadata. What to keep out: what they show.
"""

import base64

import dagster as dg
import pandas as pd


def picture(png: bytes, about: str) -> dg.MarkdownMetadataValue:
    """A picture that the UI shows where metadata stands."""
    return dg.MetadataValue.md(f"![{about}](data:image/png;base64,{base64.b64encode(png).decode()})")


def table(frame: pd.DataFrame, digits: int = 3) -> dg.MarkdownMetadataValue:
    """A table of numbers and names; what is missing is undefined, what is infinite was never reached."""

    def cell(value: object) -> object:
        if value is None or value != value:
            return "undefined"
        if isinstance(value, float):
            return "never" if abs(value) == float("inf") else f"{value:.{digits}f}"
        return value

    return dg.MetadataValue.md(frame.map(cell).to_markdown(index=False, disable_numparse=True))
