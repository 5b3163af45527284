# ruff: noqa: INP001 - a script, not a package
"""Check the report of the small campaign in CI: its phases, and the agreement of its counts."""

import json
import sys
from pathlib import Path

REQUIRED_CORRECTED_SHIFT = (
    -0.1
)  # eV/atom: MP2020 lowers Bi2Se3 by 0.283, so this threshold detects a report without corrections


def main(path: Path) -> None:
    """Check a report. Exit with one line if something is wrong."""
    report = json.loads(path.read_text())
    if report["state"] != "completed":
        sys.exit(f"the campaign is {report['state']}: {report['reason']}")
    degenerate = report["thresholds"]["degenerate_ev_per_atom"]  # stackings of the same layers differ by less than this
    on_hull = [entry for entry in report["hull"] if entry["energy_above_hull_ev_per_atom"] <= degenerate]
    bi2se3 = [entry for entry in on_hull if (entry["formula"], entry["space_group"]) == ("Bi2Se3", "R-3m")]
    if not bi2se3:
        found = sorted(f"{entry['formula']} ({entry['space_group']})" for entry in on_hull)
        sys.exit(f"Bi2Se3 (R-3m) is not within {1000 * degenerate:g} meV/atom of the hull. Phases on the hull: {found}")
    shift = bi2se3[0]["corrected"]["formation_energy_ev_per_atom"] - bi2se3[0]["formation_energy_ev_per_atom"]
    if shift > REQUIRED_CORRECTED_SHIFT:
        sys.exit(f"MP2020 shifts Bi2Se3 by {shift:.3f} eV/atom; expected about -0.28")
    for entry in [*report["new_phases"], *report["candidates"]]:
        if entry["correction_driven"]:
            sys.exit(f"{entry['structure_id']} is on the hull only with the correction, but is called new")
    for item in report["rounds"]:
        if item["relaxed"] + item["failed"] != item["submitted"]:
            sys.exit(
                f"round {item['round']}: {item['relaxed']} relaxed + {item['failed']} failed is not {item['submitted']} submitted"
            )
    files = [path.parent / name for name in ("hull.png", "hull.html")]
    missing = [file.name for file in files if not file.is_file() or file.stat().st_size == 0]
    if missing:
        sys.exit(f"missing or empty: {', '.join(missing)}")
    above = 1000 * bi2se3[0]["energy_above_hull_ev_per_atom"]
    phases = ", ".join(f"{entry['formula']} ({entry['space_group']})" for entry in on_hull)
    print(f"on the hull or degenerate with it: {phases}; Bi2Se3 (R-3m) {above:.1f} meV/atom above it")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
