"""The lineage graph: one module per stage, with its checks beside it, and the command.

What belongs here: Dagster assets, checks, partitions, runs, definitions and the command line. What to
keep out: mathematics (`erp`), and models, files and formats (`erp_resources`). An asset is thin: it
reads, calls one plain function and returns.
"""
