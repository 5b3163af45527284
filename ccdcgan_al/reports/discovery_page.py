"""Write the Markdown pages of discovery experiments from their JSON files. The runs in the file determine every figure and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ccdcgan_al.hull.hull import ON_HULL
from ccdcgan_al.reports.discovery import (
    DILUTE,
    OURS,
    THRESHOLDS,
    by_origin,
    by_round,
    is_new,
    proposed,
    rise,
    strategies_of,
    table,
    withheld_found,
)

GOALS = {  # description -> (figure in the JSON, its key, minimum)
    "new phases within 50 meV/atom, ratio to `random`": ("acceleration_over_random", "0.05", 5.0),
    "new phases within 100 meV/atom, ratio to `random`": ("acceleration_over_random", "0.1", 3.0),
    "new phases within 50 meV/atom, ratio to `one-shot`": ("acceleration_over_one_shot", "0.05", 1.5),
    "S.U.N. of `ccdcgan`": ("sun", "ccdcgan", 0.4),
}
SHOWN = 30  # maximum number of phases near the hull in the table of phases that are not claimed
NAMED = 12  # maximum number of phases named in a verdict


def page(result: dict[str, Any]) -> str:
    """Return the page of a result of `discovery.with_figures`."""
    name = result["chemical_system"]
    plots = [
        f"![{text}]({name}-{kind}.png)"
        for text, kind in (("Discovery curve", "curve"), ("Hull", "hull"), ("Energies by strategy", "energies"))
    ]
    parts = [
        f"# Discovery in {name}",
        _head(result),
        "## Verdict\n\n" + _verdicts(result),
        "## Strategies\n\n" + table(result) + "\n\n" + _legend(result),
        "\n".join(plots),
        "## Goals\n\n" + _goals(result),
        "## By round\n\n" + _rounds(result),
        "## Generated structures and mutants\n\n" + _origins(result),
        "## Withheld phases\n\n" + _withheld(result),
        "## Claims\n\n" + _claims(result),
        "## Reference hull\n\n" + _reference(result),
    ]
    return "\n\n".join(parts) + "\n"


def overview(results: Sequence[dict[str, Any]]) -> str:
    """Return the table of all systems: budget, new phases of each strategy, and claimed phases."""
    lines = [
        "| system | budget, of which seeds | strategy | random seeds | new, <= 0 | <= 50 | <= 100 | withheld found | claimed, of phases near hull |",
        "|---" * 9 + "|",
    ]
    for result in results:
        for name in strategies_of(result):
            runs = [run for run in result["runs"] if run["strategy"] == name]
            rows = [row for run in runs for row in proposed(run)]
            counts = [sum(is_new(row, limit) for row in rows) for limit in THRESHOLDS]
            found = f"{result['withheld_found'][name]} of {result['withheld_total']}"
            name_of = result["chemical_system"]
            cells = [
                f"[{name_of}]({name_of}.md)",
                f"{result['budget']}, {result['seed_count']}",
                f"`{name}`",
                str(len(runs)),
                *(f"{count} of {len(rows)}" for count in counts),
                found,
                f"{len(claimed(result))} of {len(result['near_hull'])}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{_rises(results)}"


def _rises(results: Sequence[dict[str, Any]]) -> str:
    """Return a sentence with the p value that the fraction of `ccdcgan` does not rise with the round, over all systems."""
    from scipy.stats import combine_pvalues

    told = []
    for limit in THRESHOLDS[1:]:
        systems = [[run for run in result["runs"] if run["strategy"] == OURS] for result in results]
        trends = [
            (p, sum(len(proposed(run)) for run in runs)) for runs in systems if (p := rise(runs, limit)) is not None
        ]
        if not trends:
            return f"There are not enough rounds of `{OURS}` for a test."
        p = combine_pvalues([p for p, _ in trends], "stouffer", [count**0.5 for _, count in trends]).pvalue
        told.append(f"{p:.2g} within {1000 * limit:.0f} meV/atom ({len(trends)} systems)")
    return (
        f"The p value that the fraction of new phases of `{OURS}` does not rise with the round, over all systems: {', '.join(told)}. Stouffer's "
        "method combines the p values of all pages, weighted by the square root of the number of relaxations."
    )


def claimed(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the claimed phases: new, near the reference hull also with the first checking potential, and independent of corrections."""
    return [phase for phase in result["near_hull"] if _claimed(phase)]


def _claimed(phase: dict[str, Any]) -> bool:
    one_hull_only = phase["element_driven"] and phase["above_hull"] <= ON_HULL
    return bool(phase["keeps_its_place"]) and not phase["correction_driven"] and not one_hull_only


def _head(result: dict[str, Any]) -> str:
    spec, method = result["provenance"]["spec"], result["provenance"]["method"]
    seeds = sorted({run["seed"] for run in result["runs"]})
    whole = sum(run["complete"] for run in result["runs"])
    budget = (
        f"**Budget of these runs: {result['budget']} relaxations for each strategy and random seed. {result['seed_count']} of them are starting "
        f"structures (seeds), the rest are rounds of {result['per_round']}. Random seeds: {', '.join(map(str, seeds))}.** {whole} of "
        f"{len(result['runs'])} runs are complete."
    )
    lines = [
        f"`ccdcgan-al benchmark discovery` wrote this page. All figures are from `{result['chemical_system']}.json`. {budget}",
        f"The spec asks for {spec['budget']} relaxations. This command, with the same `--work`, continues to that number: `{result['goes_on']}`.",
        (
            f"Energies: {method['calculator']} {method['version']}, {method['functional']}, {result['provenance']['scale']}. "
            f"Spin: {spec['spin']}."
        ),
        _elements(result["provenance"]["element_references"]),
    ]
    return "\n\n".join(lines + ([spec["notes"]] if spec["notes"] else []))


def _elements(references: dict[str, Any]) -> str:
    """Return sentences with the source of the element energies and the deviations of the method's own."""
    whose = "the Materials Project's" if references["scheme"] == "materials_project" else "the method's own"
    off = ", ".join(f"{symbol} {1000 * value:+.0f}" for symbol, value in references["deviations"].items())
    warnings = " ".join(f"**{warning}.**" for warning in references["warnings"])
    distances = (
        f" Deviation of the method's element energies from the Materials Project's (meV/atom): {off}." if off else ""
    )
    return f"Formation energies are relative to {whose} energies of the elements.{distances} {warnings}".strip()


def _verdicts(result: dict[str, Any]) -> str:
    """Return the verdicts: withheld phases found, new phases on the hull, claimed phases, and phases to confirm by DFT."""
    found: dict[str, list[str]] = {name: [] for name in result["withheld_in_limits"]}
    for run in result["runs"]:
        for name in withheld_found(run).keys() & found.keys():
            found[name].append(f"`{run['strategy']}`")
    known = [f"{name} by {', '.join(sorted(set(by)))}" if by else f"{name} not found" for name, by in found.items()]
    near = [phase for phase in result["near_hull"] if phase["withheld"] is None]
    on_hull = [phase for phase in near if phase["above_hull"] <= 0 and not phase["element_driven"]]
    kept = [phase for phase in claimed(result) if phase["withheld"] is None]
    checked = f"{len(kept)} of them are claimed, because they are within 25 meV/atom also with the checking potential: {_names(kept)}"
    if any(phase["keeps_its_place"] is None for phase in near):
        checked += (
            ". Some of the others were not checked, or the checking potential relaxes them into another structure"
        )
    magnetic = "" if result["provenance"]["spec"]["spin"].startswith("none:") else " with spin"
    lines = [
        f"- Known phases that were withheld: {'; '.join(known) or 'none was withheld'}.",
        f"- New phases on or below the reference hull, not withheld (meV/atom above the hull): {_names(on_hull)}.",
        f"- New phases within 50 meV/atom of the reference hull, not withheld: {len(near)}. {checked}.",
        (
            f"- To confirm by DFT{magnetic}: {f'these {len(kept)} claimed phases, the lowest first' if kept else 'none of them'}. "
            "No phase on this page is confirmed."
        ),
    ]
    for name, figures in result["summary"].items():
        within, sound, dilute = (figures[column][0] for column in ("0.1", "sound", "dilute"))
        if within:
            lines.append(
                f"- `{name}`: {within:.0f} new phases within 100 meV/atom per 100 relaxations. {dilute:.0f} of them consist of more than "
                f"{100 * DILUTE:.0f} % of one element, where the hull is shallow. {within - sound:.0f} of them are on the hull only with "
                "MP2020 corrections."
            )
    return "\n".join(lines)


def _names(phases: Sequence[dict[str, Any]]) -> str:
    names = [
        f"{phase['formula']} {phase['space_group']} ({1000 * phase['above_hull']:.0f})" for phase in phases[:NAMED]
    ]
    more = f" and {len(phases) - NAMED} more" if len(phases) > NAMED else ""
    return ", ".join(names) + more or "none"


def _legend(result: dict[str, Any]) -> str:
    tolerances = result["provenance"]["tolerances"]
    code = sorted({stage["source"] for run in result["runs"] for stage in run["rounds"]})
    matcher = f"ltol {tolerances['ltol']}, stol {tolerances['stol']}, angle {tolerances['angle_tol']:g}"
    return (
        "- Proposed: relaxations after the seeds.\n"
        "- Above hull: median energy above the reference hull of the relaxed candidates (meV/atom).\n"
        "- New, <= 0, <= 50, <= 100: unique new phases within this threshold (meV/atom) of the reference hull, per 100 proposed relaxations. "
        "Failures count as relaxations.\n"
        "- Formulas: number of reduced formulas of the new phases within 50 meV/atom. Stackings of one layer have the same formula.\n"
        "- Not corr.: new phases that MP2020 corrections would not put on the hull.\n"
        f"- Dilute: new phases with more than {100 * DILUTE:.0f} % of one element.\n"
        "- S.U.N.: unique new phases within 100 meV/atom as a fraction of all structures that were sent to the relaxer. Structures that were "
        "not relaxed have no energy and do not count.\n"
        f"- New: the structure is a plausible crystal. It matches (StructureMatcher, {matcher}) no relaxed seed, no earlier candidate, and no "
        "known phase except withheld ones.\n"
        "- Withheld found: withheld phases found, including phases outside the size limits.\n"
        "- CPU s: time for proposing and selecting, including the networks, without relaxations.\n"
        "- ±: standard deviation over random seeds.\n"
        f"- Code that proposed the candidates (sha256 of the package's source): {', '.join(code)}."
    )


def _goals(result: dict[str, Any]) -> str:
    lines = ["| goal (set for Bi-Se, budget 200, 3 seeds) | wanted | here |", "|---|---|---|"]
    for text, (figure, key, least) in GOALS.items():
        value = result[figure].get(key)
        lines.append(
            f"| {text} | >= {least:g} | {'not defined: the other strategy found none or did not run' if value is None else _verdict(value, least)} |"
        )
    summary = result["summary"]
    for other in ("random", "one-shot"):
        least = GOALS[f"new phases within 50 meV/atom, ratio to `{other}`"][2]
        if {"ccdcgan", other} <= summary.keys() and summary[other]["sound_near"][0]:
            ratio = summary["ccdcgan"]["sound_near"][0] / summary[other]["sound_near"][0]
            lines.append(
                f"| new phases within 50 meV/atom without those on the hull with MP2020 corrections, ratio to `{other}` | >= {least:g} | "
                f"{_verdict(ratio, least)} |"
            )
    for other in ("substitution", "perturbation"):
        if {"ccdcgan", other} <= summary.keys():
            ours, theirs = (summary[name]["0.05"][0] for name in ("ccdcgan", other))
            said = "met" if ours > theirs else "**not met**"
            lines.append(
                f"| new phases within 50 meV/atom per 100 relaxations, more than `{other}` | > {theirs:.3g} | {ours:.3g}, {said} |"
            )
    found, wanted = result["withheld_found"].get("ccdcgan"), result["withheld_total"]
    if found is not None and result["withhold_hull"]:
        lines.append(
            f"| withheld phases within the size limits found by `ccdcgan` | {wanted} | {_verdict(found, wanted)} |"
        )
    if near := result["near_hull"]:
        kept = f"{len(claimed(result))} of {len(near)}; only these are claimed"
        lines.append(
            f"| new phases within 50 meV/atom are within 25 meV/atom also with `{next(iter(near[0]['checked']), '-')}` | all | {kept} |"
        )
    return "\n".join(lines)


def _verdict(value: float, least: float) -> str:
    return f"{value:.3g}, {'met' if value >= least else '**not met**'}"


def _rounds(result: dict[str, Any]) -> str:
    lines = [
        (
            "Each cell has the unique new phases within 0 / 50 / 100 meV/atom of the number of relaxations in a round, summed over random "
            "seeds. The last column has the p values that the fractions within 50 and within 100 meV/atom do not rise (one-sided test for a trend)."
        ),
        "",
    ]
    runs = {name: [run for run in result["runs"] if run["strategy"] == name] for name in strategies_of(result)}
    most = max((len(by_round(run)) for run in result["runs"]), default=0)
    lines += [
        f"| strategy | {' | '.join(f'round {n + 1}' for n in range(most))} | no rise, p |",
        "|---" * (most + 2) + "|",
    ]
    for name, group in runs.items():
        cells = []
        for number in range(1, most + 1):
            items = [item for run in group for item in by_round(run) if item["round"] == number]
            sums = {key: sum(item[key] for item in items) for key in ("0", "0.05", "0.1", "relaxations")}
            cells.append(f"{sums['0']} / {sums['0.05']} / {sums['0.1']} of {sums['relaxations']}" if items else "-")
        trends = [rise(group, limit) for limit in THRESHOLDS[1:]]
        cells.append(", ".join("-" if p is None else f"{p:.2g}" for p in trends))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _origins(result: dict[str, Any]) -> str:
    lines = [
        (
            "The table divides the relaxations of each strategy into structures that the GAN generated (drawn) and mutants. A mutant is a "
            "low-energy structure with swapped atoms, transmuted atoms or slipped layers. New phases are unique, within 0 / 50 / 100 "
            "meV/atom, and summed over random seeds."
        ),
        "",
        "| strategy | origin | relaxations | new, <= 0 / 50 / 100 |",
        "|---|---|---|---|",
    ]
    for name in strategies_of(result):
        origins = by_origin([run for run in result["runs"] if run["strategy"] == name])
        for origin, counts in origins.items() if len(origins) > 1 else ():
            new = " / ".join(str(counts[key]) for key in ("0", "0.05", "0.1"))
            lines.append(f"| `{name}` | {origin} | {counts['relaxations']} | {new} |")
    return "\n".join(lines) if len(lines) > 4 else "No strategy of these runs made mutants."  # noqa: PLR2004


def _withheld(result: dict[str, Any]) -> str:
    if not result["withheld"]:
        return "No phase was withheld."
    inside = set(result["withheld_in_limits"])
    lines = [
        "| phase | within 20 sites and 10 Å | found (strategy-seed: number of relaxations) |",
        "|---|---|---|",
    ]
    for name in result["withheld"]:
        found = [
            f"{run['strategy']}-{run['seed']}: {withheld_found(run)[name]}"
            for run in result["runs"]
            if name in withheld_found(run)
        ]
        lines.append(f"| {name} | {'yes' if name in inside else 'no'} | {', '.join(found) or 'not found'} |")
    lines.append(
        "\nSeeds that match a withheld phase or relax into one are excluded, so no strategy learns from them. `substitution` may still propose "
        "the prototype of a withheld phase."
    )
    return "\n".join(lines)


def _claims(result: dict[str, Any]) -> str:
    near = result["near_hull"]
    if not near:
        return "No unique new phase lies within 50 meV/atom of the reference hull."
    below = sum(phase["above_hull"] <= 0 for phase in near)
    driven = sum(phase["correction_driven"] for phase in near)
    by_elements = sum(phase["element_driven"] for phase in near)
    kept, others = claimed(result), [phase for phase in near if not _claimed(phase)]
    judged = (
        f"{len(kept)} are claimed: they are within 25 meV/atom of the hull also with the first checking potential, and do not depend on corrections"
        if near[0]["checked"]
        else "**None is claimed, because no other potential has checked them**"
    )
    text = (
        f"{len(near)} unique new phases of all strategies and seeds lie within 50 meV/atom of the reference hull. {below} of them lie on or below "
        f"it. {judged}. {driven} are on the hull only with MP2020 corrections. {by_elements} are on the hull with only one set of element "
        "energies. The tables give energies above each potential's own reference hull in meV/atom. A dash means that this potential relaxes the "
        "phase into another structure, or that the relaxation failed. **No phase is confirmed by DFT. Every phase needs a DFT calculation**, with "
        "spin if the page says so. The cells are in the JSON file."
    )
    parts = [f"{text}\n\n{_shift(near)}" if near[0]["checked"] else text]
    if kept:
        parts.append(_phases(kept))
    parts += [f"**`{name}` checked nothing**: {why}." for name, why in result.get("checks_without_hull", {}).items()]
    if others:
        parts += ["### Near the hull only with the campaign's potential, not claimed", _phases(others[:SHOWN])]
    if len(others) > SHOWN:
        parts.append(f"The JSON file has {len(others) - SHOWN} more.")
    return "\n\n".join(parts)


def _shift(near: Sequence[dict[str, Any]]) -> str:
    """Return sentences about the energies of the phases near the hull with the first checking potential."""
    name = next(iter(near[0]["checked"]))
    both = np.array(
        [(phase["above_hull"], phase["checked"][name]) for phase in near if phase["checked"][name] is not None]
    )
    if not len(both):
        return f"`{name}` relaxes all of them into other structures, or their relaxations failed."
    kept, near_both = sum(bool(phase["keeps_its_place"]) for phase in near), (both[:, 1] <= THRESHOLDS[1]).sum()
    low, middle, high = 1000 * np.percentile(both[:, 1] - both[:, 0], (25, 50, 75))
    return (
        f"{len(both)} phases keep their structure with `{name}`. The energy above hull of half of them changes by {low:+.0f} to {high:+.0f} meV/atom "
        f"(median {middle:+.0f}). {kept} are within 25 meV/atom of the hull of `{name}`, and {near_both} within 50 meV/atom."
    )


def _phases(phases: Sequence[dict[str, Any]]) -> str:
    checks = list(phases[0]["checked"])
    headings = ["formula", "group", "sites", "above hull", *checks, "first found by"]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for phase in phases:
        energies = [phase["above_hull"], *(phase["checked"][name] for name in checks)]
        cells = [
            f"{phase['formula']}{' (withheld)' if phase['withheld'] else ''}",
            phase["space_group"],
            str(phase["n_sites"]),
            *("-" if energy is None else f"{1000 * energy:.0f}" for energy in energies),
            phase["name"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _reference(result: dict[str, Any]) -> str:
    lines = [
        "| phase | formation energy (meV/atom) | above hull (meV/atom) | above hull, method's elements | sites |",
        "|---|---|---|---|---|",
    ]
    for item in sorted(result["reference"], key=lambda item: (item["fractions"], item["above_hull"])):
        energies = " | ".join(
            f"{1000 * item[name]:.0f}" for name in ("formation_energy", "above_hull", "own_elements_above_hull")
        )
        lines.append(f"| {item['name']} | {energies} | {item['n_sites']} |")
    if result["reference_failed"]:
        failed = ", ".join(f"{name} ({reason})" for name, reason in result["reference_failed"].items())
        lines.append(f"\nNot in the hull, because the relaxation failed: {failed}.")
    return "\n".join(lines)
