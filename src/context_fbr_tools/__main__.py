"""`python -m context_fbr_tools` is `context-fbr`."""

from context_fbr_tools.cli import main

if __name__ == "__main__":
    main()
