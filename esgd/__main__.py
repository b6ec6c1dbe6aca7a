"""``python -m esgd`` is the ``esgd`` command."""

from esgd.cli import main

if __name__ == "__main__":
    main()
