"""What a child process of `children.py` runs: jobs from standard input until it ends."""

from memlm.prepare.children import do_jobs

if __name__ == "__main__":
    do_jobs()
