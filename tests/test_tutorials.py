"""The notebooks of docs/tutorials as they are stored. `make docs` runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_stored(notebook: Path) -> None:
    for cell in cells(notebook):
        assert not cell.get("outputs"), cell["id"]
        assert cell.get("execution_count") is None, cell["id"]


def test_every_notebook_is_a_page_of_the_site() -> None:
    listed = re.findall(r"tutorials/(\S+)\.md", (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == [notebook.stem for notebook in NOTEBOOKS]
    assert len(NOTEBOOKS) == 3


def test_the_notebooks_and_ci_run_one_campaign() -> None:
    """Another choice would be a second campaign, which takes minutes."""
    sources = ["".join(cell["source"]) for notebook in NOTEBOOKS for cell in cells(notebook)]
    sources.append((DOCS.parent / ".ci" / "run").read_text(encoding="utf-8"))
    commands = re.findall(r"ccdcgan-al run (Bi-Se.*?)(?: --out \S+| --json > \S+)$", "\n".join(sources), re.MULTILINE)
    assert len(commands) == 3
    assert len(set(commands)) == 1
