"""`python -m memlm` is `memlm`."""

from memlm.cli import main

main()
