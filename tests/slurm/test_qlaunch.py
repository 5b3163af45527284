"""A campaign of two rounds on a real SLURM: two `qlaunch rapidfire`, one for each kind of node, and nothing else runs anything.

Relaxations are the stand-in of the fault tests, and the GAN is trained for a moment: the queue is looked at here, no energy.
The database asks for a password. A relaxation's job is cancelled in the middle of its work, and `lpad detect_lostruns
--rerun` puts its Firework back.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import psutil
import pytest
import yaml

from launchpad.database.store import CampaignStore
from tests.authenticated_mongod import PASSWORD, authenticated_mongod
from tests.faults.scene import ROOT, STARTUP
from tests.slurm.cluster import Job, SlurmCluster, missing_binaries

MISSING = missing_binaries()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: apt-get install slurm-wlm munge"),
]

KINDS = {"relaxation": 2, "training": 1}  # most jobs in the queue
CORES = {"relaxation": 1, "training": 2}  # of the test cluster's nodes
CHOICES = ["--method", "chgnet", "--rounds", "2", "--per-round", "2", "--seed-count", "8", "--generated", "60"]
WALLTIME = 4 * 3600  # s, as the qadapter of relaxations has it
PING, LOST = 2, 30  # s: a worker says that it is alive; one silent for so long is taken for dead
CAMPAIGN_SECONDS = 3000.0  # a minute or two where nothing else runs
QUICK = {"PYTHONPATH": f"{STARTUP}{os.pathsep}{ROOT}", "FAULTS_SECONDS": "5", "FAULTS_GAN_STEPS": "500"}
SECRETS = (PASSWORD, quote_plus(PASSWORD))


@dataclass
class Run:
    """What is left of the campaign."""

    folder: Path
    store: CampaignStore
    campaign_id: str
    jobs: dict[int, Job]
    cancelled: int
    shown: set[str]
    kept_by_slurm: str
    one: str

    @property
    def launches(self) -> list[dict[str, Any]]:
        """Every launch of the LaunchPad, with its Firework's category."""
        database = self.store.database
        category = {fw["fw_id"]: fw["spec"].get("_category") for fw in database["fireworks"].find()}
        return [{**launch, "category": category[launch["fw_id"]]} for launch in database["launches"].find()]

    def job_of(self, launch: dict[str, Any]) -> Job:
        """Return the job in whose folder a launch ran; no launch is anywhere else."""
        found = [job for job in self.jobs.values() if Path(launch["launch_dir"]).is_relative_to(job.folder)]
        assert len(found) == 1, (launch["launch_dir"], self.jobs)
        return found[0]


def _command(*words: str, cwd: Path, environment: dict[str, str]) -> str:
    """Run one of this environment's own commands."""
    script = Path(sys.executable).with_name(words[0])
    done = subprocess.run(
        [str(script), *words[1:]], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _edit(path: Path, **changes: Any) -> None:
    """Change a config file as its user would."""
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the campaign through SLURM alone."""
    place = tmp_path_factory.mktemp("qlaunch")
    with authenticated_mongod(place / "mongo") as uri, SlurmCluster() as cluster:
        yield _campaign(place, uri, cluster)


def _campaign(place: Path, uri: str, cluster: SlurmCluster) -> Run:
    config, environment = place / "config", {**cluster.environment, "CCDCGAN_AL_MONGO_URI": uri}
    _command("ccdcgan-al", "init", str(config), cwd=place, environment=environment)
    quick = {**QUICK, "FAULTS_LOG": str(place / "relaxed.log")}
    for kind, cores in CORES.items():
        path = config / f"my_qadapter_{kind}.yaml"
        before = yaml.safe_load(path.read_text())["pre_rocket"]
        before += "".join(f"export {name}={value}\n" for name, value in quick.items())
        before += "echo job ends at $CCDCGAN_AL_JOB_END\n"
        _edit(path, queue=kind, cpus_per_task=cores, pre_rocket=before)
    _edit(config / "FW_config.yaml", PING_TIME_SECS=PING, RAPIDFIRE_SLEEP_SECS=1, QUEUE_UPDATE_INTERVAL=1)
    # the shell of a user who has sourced environment.sh, the worst case for what sbatch keeps of it
    environment |= {"FW_CONFIG_FILE": str(config / "FW_config.yaml")}
    campaign_id, store = _submit(place, config, environment), CampaignStore(uri)
    one = _singleshot(place, config, environment)
    qlaunches = [_qlaunch(config, place / kind, kind, most, environment) for kind, most in KINDS.items()]
    cancelled, shown, kept, deadline = 0, set(), "", time.monotonic() + CAMPAIGN_SECONDS
    try:
        while store.state(campaign_id)[0] == "running":
            assert time.monotonic() < deadline, f"not finished; {cluster.run('squeue')}{cluster.log()}"
            assert [process.poll() for process in qlaunches] == [None] * len(qlaunches), "a qlaunch has left"
            shown |= _command_lines()
            if not cancelled:
                cancelled = _cancel_one(store, cluster, one)
                kept = "" if not cancelled else _kept(cluster)
            else:
                _command(
                    *("lpad", "-c", str(config), "detect_lostruns", "--time", str(LOST), "--rerun"),
                    cwd=place,
                    environment=environment,
                )
            time.sleep(2)
    finally:
        for process in qlaunches:
            process.kill()
            process.wait()
    while cluster.run("squeue", "--noheader").strip():  # the last workers leave by themselves
        assert time.monotonic() < deadline, cluster.run("squeue")
        time.sleep(0.5)
    return Run(place, store, campaign_id, cluster.ended_jobs(), cancelled, shown, kept, one)


def _submit(place: Path, config: Path, environment: dict[str, str]) -> str:
    """Put the campaign on the LaunchPad and return its id."""
    said = _command("ccdcgan-al", "submit", "Bi-Se", *CHOICES, "-c", str(config), cwd=place, environment=environment)
    (campaign_id,) = re.findall(r"campaign (\S+): submitted", said)
    return str(campaign_id)


def _singleshot(place: Path, config: Path, environment: dict[str, str]) -> str:
    """Give one relaxation a queue job of its own (`qlaunch -r singleshot`), and return the folder of it."""
    adapter = yaml.safe_load((config / "my_qadapter_relaxation.yaml").read_text())
    launch = adapter["rocket_launch"].split(" rapidfire")[0] + " singleshot"
    path, folder = place / "my_qadapter_one.yaml", place / "relaxation" / "one"
    path.write_text(yaml.safe_dump({**adapter, "rocket_launch": launch}))
    folder.mkdir(parents=True)
    worker = str(config / "my_fworker_relaxation.yaml")
    words = "qlaunch", "-r", "-c", str(config), "-w", worker, "-q", str(path), "singleshot"
    _command(*words, cwd=folder, environment=environment)
    return str(folder)


def _qlaunch(config: Path, folder: Path, kind: str, most: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start `qlaunch rapidfire` for one kind of node, as the comment of its qadapter says."""
    folder.mkdir(exist_ok=True)
    command = [
        *(str(Path(sys.executable).with_name("qlaunch")), "-c", str(config)),
        *("-w", str(config / f"my_fworker_{kind}.yaml"), "-q", str(config / f"my_qadapter_{kind}.yaml")),
        *("rapidfire", "-m", str(most), "--nlaunches", "infinite"),
    ]
    with (folder / "qlaunch.log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def _command_lines() -> set[str]:
    """What `ps` shows to everybody."""
    lines = set()
    for process in psutil.process_iter():
        try:
            lines.add(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return lines


def _cancel_one(store: CampaignStore, cluster: SlurmCluster, one: str) -> int:
    """Cancel the job of a relaxation that runs, not the one of its own job, and return the id; 0 where none runs."""
    launch = store.database["launches"].find_one(
        {"state": "RUNNING", "fworker.name": "relaxation", "launch_dir": {"$ne": one}}
    )
    if launch is None:
        return 0
    fw_id = launch["fw_id"]
    # its workflow knows, so the job is within no write that this would tear
    if store.database["workflows"].find_one({f"fw_states.{fw_id}": "RUNNING", "locked": {"$exists": False}}) is None:
        return 0
    for line in cluster.run("squeue", "--noheader", "--states=R", "-o", "%i %Z").splitlines():
        job_id, folder = line.split(maxsplit=1)
        if Path(folder) in Path(launch["launch_dir"]).parents:
            cluster.run("scancel", job_id)
            return int(job_id)
    return 0


def _kept(cluster: SlurmCluster) -> str:
    """What slurmctld keeps on disk about jobs, and what it tells about them."""
    files = [path for path in (cluster.folder / "state").rglob("*") if path.is_file()]
    kept = "".join(path.read_bytes().decode(errors="replace") for path in files)
    assert "#SBATCH --export=NONE" in kept, "no queue script is among the files of slurmctld"
    return kept + cluster.run("scontrol", "show", "jobs", "--details")


def test_the_campaign_completes_its_two_rounds(run: Run) -> None:
    assert run.store.state(run.campaign_id)[0] == "completed"
    rounds = run.store.round_documents(run.campaign_id)
    assert [(item["round"], item["submitted"]) for item in rounds] == [(0, 8), (1, 2), (2, 2)]
    for item in rounds:
        assert item["relaxed"] + item["failed"] == item["submitted"]
        assert "lost" not in item["failures"]
    documents = run.store.documents(run.campaign_id)
    assert sum(document["state"] == "relaxed" for document in documents) >= 8
    assert len({document["structure_id"] for document in documents}) == len(documents) == 12


def test_every_launch_is_a_slurm_job_of_its_partition(run: Run) -> None:
    seen: dict[str, set[int]] = {kind: set() for kind in KINDS}
    for launch in run.launches:
        job = run.job_of(launch)
        assert job.partition == launch["category"] == launch["fworker"]["name"]
        assert len(list(job.folder.glob(f"*-{job.job_id}.out"))) == 1
        seen[job.partition].add(job.job_id)
    assert len(seen["relaxation"]) >= 3  # in every round and the confirmation its own
    assert len(seen["training"]) >= 3
    assert {job.nodes for job in run.jobs.values() if job.partition == "training"} == {"train"}
    assert {job.nodes for job in run.jobs.values() if job.partition == "relaxation"} == {"relax1", "relax2"}


def test_models_were_trained_on_the_training_node(run: Run) -> None:
    trained = list(run.store.models.documents.find({"campaign_id": run.campaign_id}, {"round": 1, "name": 1}))
    assert {(model["round"], model["name"]) for model in trained} >= {(1, "constraint"), (2, "generator")}


def test_a_cancelled_job_is_put_back_and_nothing_is_lost(run: Run) -> None:
    assert run.jobs[run.cancelled].state == "CANCELLED"
    interrupted = [launch for launch in run.launches if run.job_of(launch).job_id == run.cancelled]
    dead = [launch for launch in interrupted if launch["state"] == "FIZZLED"]
    assert len(dead) == 1, interrupted
    again = [
        launch for launch in run.launches if launch["fw_id"] == dead[0]["fw_id"] and launch["state"] == "COMPLETED"
    ]
    assert len(again) == 1
    assert run.job_of(again[0]).job_id != run.cancelled


def test_a_reserved_relaxation_knows_its_job(run: Run) -> None:
    (launch,) = (launch for launch in run.launches if launch["launch_dir"] == run.one)
    (reservation,) = (entry["reservation_id"] for entry in launch["state_history"] if "reservation_id" in entry)
    assert run.job_of(launch).job_id == int(reservation)
    assert launch["state"] == "COMPLETED"


def test_a_relaxation_knows_when_its_job_ends(run: Run) -> None:
    for job in run.jobs.values():
        if job.partition == "relaxation" and job.job_id != run.cancelled:
            (output,) = job.folder.glob(f"*-{job.job_id}.out")
            said = output.read_text()
            (end,) = re.findall(r"^job ends at (\d+)$", said, re.MULTILINE)
            assert int(end) == pytest.approx(job.started.timestamp() + WALLTIME, abs=5)


def test_no_password_is_shown_or_kept(run: Run) -> None:
    assert any("rlaunch" in line for line in run.shown)
    scripts = [path.read_text() for kind in KINDS for path in (run.folder / kind).rglob("FW_submit.script")]
    assert len(scripts) == len(run.jobs)
    told = [path.read_text(errors="replace") for kind in KINDS for path in (run.folder / kind).rglob("*.[oe][ur]*[tr]")]
    assert len(told) >= 2 * len(run.jobs)
    for secret in SECRETS:
        assert not any(secret in text for text in (*scripts, *told, *run.shown, run.kept_by_slurm))
