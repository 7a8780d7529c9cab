"""Prints the rows of a CSV file, each by its header."""

import csv
import json
import pathlib
import sys

with pathlib.Path(sys.argv[1]).open(newline="", encoding="utf-8") as file:
    print(json.dumps(list(csv.DictReader(file, strict=True))))
