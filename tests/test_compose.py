"""docker-compose.yml and Dockerfile: the file against the Compose Specification's schema and our own rules, and its commands run.

There is no Docker here. The package is installed, as the Dockerfile does it and from the files that it copies, into a new virtual
environment; its entry point and the services' own commands then run as processes, against a mongod that asks for a password.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import yaml

from launchpad.database.store import CampaignStore
from tests.authenticated_mongod import PASSWORD, USER, authenticated_mongod

ROOT = Path(__file__).resolve().parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = ("training", "relaxation")
DOCKERFILE = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
EXACT = re.compile(r"^[a-z][a-z0-9-]*:\d+\.\d+\.\d+(-[a-z0-9-]+)?$")  # no host, an exact version


def _instructions(name: str) -> list[str]:
    """Arguments of a Dockerfile's instructions."""
    return [line.removeprefix(f"{name} ") for line in DOCKERFILE if line.startswith(f"{name} ")]


def _image_environment() -> dict[str, str]:
    """Variables that the image sets."""
    words = " ".join(_instructions("ENV")).split()
    return dict(word.split("=", 1) for word in words)


# --- the files --------------------------------------------------------------------------------------------------------


def test_the_file_is_a_valid_compose_file() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("check_jsonschema")
    path = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(COMPOSE, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**COMPOSE, "services": {"mongo": {"imagee": "mongo"}}}, schema)


def test_services_are_a_database_a_training_worker_and_relaxation_workers() -> None:
    assert set(SERVICES) == {"mongo", "training", "relaxation", "cli"}
    assert SERVICES["relaxation"]["deploy"]["replicas"] >= 2
    assert "deploy" not in SERVICES["training"]
    for kind in WORKERS:
        assert SERVICES[kind]["depends_on"]["mongo"]["condition"] == "service_healthy"
        assert f"my_fworker_{kind}.yaml" in " ".join(SERVICES[kind]["command"])
        assert SERVICES[kind]["restart"] == "unless-stopped"
    assert {SERVICES["relaxation"]["environment"][f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS")} == {"1"}
    assert SERVICES["cli"]["profiles"]  # not started by `docker compose up`


def test_images_are_pinned_and_of_no_named_registry() -> None:
    for image in (*(service["image"] for service in SERVICES.values()), *_instructions("FROM")):
        assert EXACT.match(image), image
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert {SERVICES[kind]["image"] for kind in (*WORKERS, "cli")} == {f"ccdcgan-al:{version[1]}"}


def test_services_that_stay_up_have_a_healthcheck() -> None:
    for name in ("mongo", *WORKERS):
        check = SERVICES[name]["healthcheck"]
        assert check["test"][0] in ("CMD", "CMD-SHELL")
        assert {"interval", "timeout", "retries", "start_period"} <= set(check)


def test_the_database_asks_for_a_password_keeps_its_data_and_is_not_published() -> None:
    mongo = SERVICES["mongo"]
    assert {"MONGO_INITDB_ROOT_USERNAME", "MONGO_INITDB_ROOT_PASSWORD_FILE"} == set(mongo["environment"])
    assert (
        mongo["environment"]["MONGO_INITDB_ROOT_USERNAME"]
        == SERVICES["training"]["environment"]["CCDCGAN_AL_MONGO_USER"]
    )
    data = dict(volume.split(":") for volume in mongo["volumes"])
    assert data["mongo-data"] == "/data/db"
    assert set(data) < set(COMPOSE["volumes"])
    assert not any("ports" in service for service in SERVICES.values())


def test_no_password_is_in_the_files() -> None:
    (secret,) = COMPOSE["secrets"].values()
    assert secret == {"environment": "CCDCGAN_AL_MONGO_PASSWORD"}
    for service in SERVICES.values():
        assert service["secrets"] == list(COMPOSE["secrets"])
        for name, value in service["environment"].items():
            assert "PASSWORD" not in name or value == f"/run/secrets/{service['secrets'][0]}"
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "Dockerfile").read_text()
    assert not re.search(r"mongodb(\+srv)?://[^\s/]*:[^\s/]*@", text)
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_image_is_built_from_the_lock_file_as_make_does_it_and_runs_as_a_user() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = [line.split(" pip ", 1)[1] for line in _instructions("RUN") if " pip " in line]
    assert installs == ["install -q -r requirements.lock", "install -q --no-deps --no-build-isolation ."]
    for line in installs:
        assert f"$(PIP) {line.replace('isolation .', 'isolation -e .')}\n" in makefile
    assert _instructions("USER")[-1] not in ("root", "0")
    entrypoint = ROOT / "docker" / "entrypoint.sh"
    assert entrypoint.stat().st_mode & stat.S_IXUSR
    assert json.loads(_instructions("ENTRYPOINT")[0]) == ["ccdcgan-al-entrypoint"]


def test_what_is_copied_into_the_image_is_there_and_nothing_else_is_sent_to_the_builder() -> None:
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in sent
    for line in _instructions("COPY"):
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists()
            assert f"!{source.split('/')[0]}" in sent


# --- the commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """What stands for the image: a virtual environment with the package installed in it, and folders for its own."""

    root: Path
    environment: dict[str, str]

    def container(self, name: str, uri: str) -> Container:
        """Make what stands for a container of a service."""
        service, root = SERVICES[name], self.root / f"{name}-{time.monotonic_ns()}"
        (root / "launches").mkdir(parents=True)
        secret = root / "mongo_password"
        secret.write_text(f"{PASSWORD}\n")
        paths = {"/home/ccdcgan": str(root), "/run/secrets/mongo_password": str(secret)}
        variables = {**self.environment, **_image_environment(), **service["environment"]}
        variables |= {"CCDCGAN_AL_MONGO_HOST": urlsplit(uri).netloc.rpartition("@")[2], "CCDCGAN_AL_MONGO_USER": USER}
        return Container(
            {key: _moved(value, paths) for key, value in variables.items()},
            [_moved(word, paths) for word in service["command"]],
            root / "launches",
        )


@dataclass(frozen=True)
class Container:
    """A service's variables, command and working directory, its paths moved into a folder of the test."""

    environment: dict[str, str]
    command: list[str]
    folder: Path

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Run the entry point with the service's command, or with another."""
        with (self.folder.parent / "log").open("a") as log:
            return subprocess.Popen(
                [str(ROOT / "docker" / "entrypoint.sh"), *(command or self.command)],
                env=self.environment,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def run(self, *command: str) -> str:
        """Run a command to its end and return what it prints."""
        process = self.start(*command)
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0, (self.folder.parent / "log").read_text()
        return out

    def is_healthy(self, check: dict[str, Any]) -> bool:
        """Run a health check as Docker does: a shell's command, without the entry point."""
        kind, line = check["test"]
        assert kind == "CMD-SHELL"
        done = subprocess.run(
            ["sh", "-c", line.replace("$$", "$")],
            env=self.environment,
            cwd=self.folder,
            check=False,
            capture_output=True,
            timeout=120,
        )
        return done.returncode == 0


def _moved(text: str, paths: dict[str, str]) -> str:
    for path, instead in paths.items():
        text = text.replace(path, instead)
    return text


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Build what stands for the image.

    The packages of the lock file are not installed once more (minutes): the new environment sees those of this one, which
    `make` has installed by the same command. The package itself is installed from the copied files, and not in place.
    """
    root = tmp_path_factory.mktemp("image")
    venv, sources = root / "venv", root / "sources"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=120)
    for line in _instructions("COPY"):
        *copied, target = [word for word in line.split() if not word.startswith("--")]
        if target.startswith("/"):
            continue
        for name in copied:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                sources.mkdir(exist_ok=True)
                shutil.copy(ROOT / name, sources)
    (site,) = (venv / "lib").glob("python3.*/site-packages")
    (site / "locked.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    scripts = Path(sys.executable).parent
    for name in ("lpad", "rlaunch", "qlaunch"):
        text = (scripts / name).read_text().splitlines()
        (venv / "bin" / name).write_text("\n".join([f"#!{venv / 'bin' / 'python'}", *text[1:], ""]))
        (venv / "bin" / name).chmod(0o755)
    environment = {"PATH": f"{venv / 'bin'}:/usr/bin:/bin", "HOME": str(root), "LANG": "C.UTF-8"}
    (install,) = (line for line in _instructions("RUN") if line.endswith(" ."))
    subprocess.run(install.split(), cwd=sources, env=environment, check=True, timeout=300)
    return Image(root, environment)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a mongod that asks for a password."""
    with authenticated_mongod(tmp_path_factory.mktemp("mongo")) as uri:
        yield uri


@pytest.mark.slow
def test_the_package_in_the_image_is_installed_and_whole(image: Image) -> None:
    for package in ("ccdcgan_al", "workflows", "launchpad"):
        code = f"import {package}, pathlib; print(pathlib.Path({package}.__file__).parent)"
        done = subprocess.run(
            ["python", "-c", code], env=image.environment, cwd=image.root, capture_output=True, text=True, check=True
        )
        installed = Path(done.stdout.strip())
        assert installed.is_relative_to(image.root / "venv")
        assert _files(installed) == _files(ROOT / package)  # templates and weights too


def _files(folder: Path) -> set[str]:
    """Files of a package, what Python makes of them aside."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)) for path in found}


@pytest.mark.slow
def test_without_a_password_the_entry_point_says_what_is_missing(image: Image, database: str) -> None:
    container = image.container("training", database)
    Path(container.environment["CCDCGAN_AL_MONGO_PASSWORD_FILE"]).unlink()
    process = container.start()
    assert process.wait(timeout=60) == 1
    assert "set CCDCGAN_AL_MONGO_PASSWORD for docker compose" in (container.folder.parent / "log").read_text()


@pytest.mark.slow
def test_a_worker_that_cannot_log_in_ends_and_shows_no_password(image: Image, database: str) -> None:
    container = image.container("training", database)
    Path(container.environment["CCDCGAN_AL_MONGO_PASSWORD_FILE"]).write_text("wr%ng")
    process = container.start()
    assert process.wait(timeout=60) != 0
    said = (container.folder.parent / "log").read_text()
    assert "Authentication failed" in said
    assert "wr%" not in said
    assert not container.is_healthy(SERVICES["training"]["healthcheck"])


@pytest.mark.slow
def test_the_services_run_a_campaign(image: Image, database: str) -> None:
    command_line = image.container("cli", database)
    submit = ["ccdcgan-al", "submit", "Bi-Se", "--method", "chgnet", "--rounds", "0", "--seed-count", "2"]
    said = command_line.run(*submit)
    (campaign_id,) = re.findall(r"campaign (\S+): submitted", said)
    services = ["training", *["relaxation"] * SERVICES["relaxation"]["deploy"]["replicas"]]
    containers = [image.container(name, database) for name in services]
    processes: list[subprocess.Popen[str]] = []
    store = CampaignStore(database)
    try:
        processes += [container.start() for container in containers]
        deadline = time.monotonic() + 600
        while store.state(campaign_id)[0] == "running":
            logs = [(container.folder.parent / "log").read_text() for container in containers]
            assert [process.poll() for process in processes] == [None] * len(processes), logs
            assert time.monotonic() < deadline, logs
            time.sleep(1)
        for name, container in zip(services, containers, strict=True):
            assert container.is_healthy(SERVICES[name]["healthcheck"])
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait(timeout=60)
    assert store.state(campaign_id)[0] == "completed"
    assert {document["state"] for document in store.documents(campaign_id)} == {"relaxed"}
    launches = list(store.database["launches"].find())
    places = {
        name: {container.folder for n, container in zip(services, containers, strict=True) if n == name}
        for name in WORKERS
    }
    for launch in launches:
        assert places[launch["fworker"]["name"]] & set(Path(launch["launch_dir"]).parents)
    for container in (command_line, *containers):
        said = (container.folder.parent / "log").read_text()
        assert "MongoDB" in said  # what `init` found
        assert PASSWORD not in said
        assert quote(PASSWORD, safe="") not in said
    assert '"state": "COMPLETED"' in command_line.run("lpad", "get_wflows")
