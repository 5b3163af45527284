"""A stand-in for the Materials Project's server: the three routes that mp-api calls here, with hand-made answers. It is no copy of it.

Its energies are invented. What it is told in `failures` it answers first, one a request.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry, ConstantEnergyAdjustment

from tests.hull.test_hull import bi2se3, bismuth, rocksalt, selenium

KEY = "0123456789abcdefghijklmnopqrstuv"
VERSION = "2025.09.25"
DROP = 0  # a failure: the connection is closed without an answer
PHASES: dict[str, tuple[Structure, float]] = {  # material id -> structure, uncorrected energy (eV/atom)
    "mp-1": (bismuth(), -3.9),
    "mp-2": (selenium(), -3.5),
    "mp-3": (bi2se3().get_primitive_structure(), -4.05),
    "mp-4": (rocksalt().get_primitive_structure(), -3.9),
}


def entry(material_id: str, run_type: str = "GGA") -> ComputedStructureEntry:
    """Return an entry as the Materials Project gives it: with a correction and parameters; mp-4 is one without POTCARs."""
    structure, energy = PHASES[material_id]
    correction = -0.472 * structure.composition["Se"] if len(structure.composition) > 1 else 0.0
    titles = (
        [f"PAW_PBE {element.symbol} 08Apr2002" for element in structure.composition] if material_id != "mp-4" else []
    )
    return ComputedStructureEntry(
        structure,
        energy * len(structure),
        energy_adjustments=[ConstantEnergyAdjustment(correction, uncertainty=0.0, name="MP2020 anion correction (Se)")],
        parameters={
            "run_type": run_type,
            "is_hubbard": False,
            "hubbards": {},
            "potcar_spec": [{"titel": title, "hash": None} for title in titles],
        },
        data={"oxide_type": "None", "material_id": material_id},
        entry_id=f"{material_id}-{run_type}",
    )


@dataclass
class Server:
    """The stand-in, while it runs.

    Attributes
    ----------
    endpoint : its address, for MP_API_ENDPOINT
    failures : statuses (or `DROP`) that the next requests get
    asked : path and query of each request
    version : of its database
    """

    endpoint: str
    failures: list[int] = field(default_factory=list)
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    version: str = VERSION

    def answer(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        """Return the answer to a request."""
        if path == "heartbeat":
            return {
                "status": "OK",
                "db_version": self.version,
                "version": "0.87.0",
                "access_controlled_batch_ids": [],
            }
        systems = query["chemsys"][0].split(",")
        found = {name: item for name, item in PHASES.items() if item[0].chemical_system in systems}
        if path == "materials/thermo":
            kind = query["thermo_types"][0]
            run_type = {"GGA_GGA+U": "GGA", "r2SCAN": "r2SCAN"}[kind]
            data = [{"thermo_type": kind, "entries": {run_type: entry(name, run_type).as_dict()}} for name in found]
        else:
            data = [{"material_id": name, "structure": item[0].as_dict()} for name, item in found.items()]
        return {"data": data, "meta": {"total_doc": len(data)}}


@contextmanager
def materials_project_server() -> Iterator[Server]:
    """Run the stand-in on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlparse(self.path)
            path, query = parts.path.strip("/"), parse_qs(parts.query)
            told.asked.append((path, query))
            status = told.failures.pop(0) if told.failures else 200
            if status == DROP:
                self.close_connection = True
                return
            if status == 200 and path != "heartbeat" and self.headers.get("x-api-key") != KEY:
                status = 401
            body = told.answer(path, query) if status == 200 else {"detail": f"refused {self.headers.get('x-api-key')}"}
            text = json.dumps(body, default=str).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told = Server(f"http://127.0.0.1:{server.server_address[1]}/")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()
