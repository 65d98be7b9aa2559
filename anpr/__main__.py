"""`python -m anpr` is `anpr`."""

from anpr.cli import main

if __name__ == "__main__":
    main()
