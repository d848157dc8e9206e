"""`python -m hitcore`: the command line."""

from hitcore.cli import main

if __name__ == "__main__":
    main()
