"""Compare all tables of a pool: `python -m recomputed ROOT POOL`."""

import sys
from pathlib import Path

from recomputed import COMPARISONS, read


def main() -> int:
    """Print the largest difference of every number, and return 1 when one is too large."""
    stored = read(Path(sys.argv[1]), sys.argv[2])
    wrong = 0
    for table, compare in COMPARISONS.items():
        largest: dict[str, list[float]] = {}
        for one in compare(stored):
            largest.setdefault(one.number, []).append(one.excess)
            wrong += one.excess > 1
        for number, found in largest.items():
            print(f"{table:18} {number:60} {max(found):10.2e} of what is allowed, {len(found)} compared")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
