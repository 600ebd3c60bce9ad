"""`python -m erp_assets` is `erp`."""

from erp_assets.cli import main

main()
