"""Fetch them from the command line."""

from flukeseg.data.humpback450.download import main

if __name__ == "__main__":
    main()
