"""Hook of the documentation site: executes the notebooks of docs/tutorials, and makes a Markdown page of each, with its outputs.

The notebooks are stored without outputs. A page in Markdown has the look of the site, and mkdocs checks its links. (The plugin
mkdocs-jupyter makes HTML, in which mkdocs checks no link.) All notebooks share one home with its own MongoDB, so that a
campaign runs once. The home is a temporary folder, or the folder that TUTORIALS_HOME names. `mkdocs serve` executes nothing.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import nbformat
from mkdocs.structure.files import File
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbconvert.filters import strip_ansi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

LOGGER = logging.getLogger("mkdocs.notebooks")
CELL_SECONDS = 900  # most time of one cell
_command = {"executes": True}


def on_startup(command: Literal["build", "gh-deploy", "serve"], **_: object) -> None:
    """Remember whether this is `mkdocs serve`, which builds again at each change."""
    _command["executes"] = command != "serve"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, and the files that belong to it. The notebook itself stays, to be downloaded."""
    notebooks = sorted((file for file in files if file.src_uri.endswith(".ipynb")), key=lambda file: file.src_uri)
    with _home() as home:
        for notebook in notebooks:
            for name, content in _page(Path(str(notebook.abs_src_path)), home).items():
                files.append(File.generated(config, f"{Path(notebook.src_uri).parent}/{name}", content=content))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Point links to notebooks at their pages. In the repository they point at the files, which GitHub shows."""
    return re.sub(r"\]\(((?:\.\./)?tutorials/[\w-]+)\.ipynb\)", r"](\1.md)", markdown)


@contextmanager
def _home() -> Iterator[Path]:
    """Give the folder of the tutorials' MongoDB; the server ends with the context."""
    from ccdcgan_al.settings import Settings
    from launchpad.service.mongod import stop_local_mongo

    with TemporaryDirectory(prefix="tutorials-") as folder:
        home = Path(os.environ.get("TUTORIALS_HOME", folder))
        try:
            yield home
        finally:
            stop_local_mongo(Settings(home=home, mongo_uri=None))


def _page(path: Path, home: Path) -> dict[str, str | bytes]:
    """Execute a notebook; returns its page, its pictures and the HTML files that it wrote, by name."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory(prefix=f"{path.stem}-") as folder:
        if _command["executes"]:
            LOGGER.info("executing %s", path.name)
            environment = {name: value for name, value in os.environ.items() if not name.startswith("CCDCGAN_AL_")}
            environment |= {"CCDCGAN_AL_HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            client = NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", coalesce_streams=True)
            client.resources = {"metadata": {"path": folder}}
            client.execute(env=environment)
        written: dict[str, str | bytes] = {
            f"{path.stem}/{file.name}": file.read_bytes() for file in Path(folder).glob("*.html")
        }
    for cell in notebook.cells:
        cell["outputs"] = [_tidy(output) for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    resources = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    body, resources = MarkdownExporter().from_notebook_node(notebook, resources)
    title, _, text = body.replace(".ipynb)", ".md)").strip().partition("\n")
    page = f"{title}\n\n[Download this notebook]({path.name})\n{text}\n"
    return {f"{path.stem}.md": page, **resources["outputs"], **written}


def _tidy(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take colours out of text. Give tables the site's own look, and take indentation out of HTML, which would make it code."""
    if "text" in output:
        output["text"] = strip_ansi(output["text"])
    html = output.get("data", {}).get("text/html")
    if html is not None:
        html = re.sub(r"<style scoped>.*?</style>", "", html, flags=re.DOTALL)
        html = html.replace('<table border="1" class="dataframe">', "<table>")
        output["data"]["text/html"] = "\n".join(line.strip() for line in html.splitlines() if line.strip())
    return output
