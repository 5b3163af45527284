"""The pages of discovery experiments in Markdown, from its JSON alone; every figure and verdict on it follows from the runs that are there."""

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

GOALS = {  # issue's wording -> (figure of the JSON, key in it, at least)
    "within 50 meV/atom, times `random`": ("acceleration_over_random", "0.05", 5.0),
    "within 100 meV/atom, times `random`": ("acceleration_over_random", "0.1", 3.0),
    "within 50 meV/atom, times `one-shot`": ("acceleration_over_one_shot", "0.05", 1.5),
    "S.U.N. of `ccdcgan`": ("sun", "ccdcgan", 0.4),
}
SHOWN = 30  # phases near the hull that are not claimed
NAMED = 12  # phases named in a verdict


def page(result: dict[str, Any]) -> str:
    """Return the page of a result of `discovery_report.with_figures`."""
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
        "## What was drawn, and what is a mutant\n\n" + _origins(result),
        "## Withheld phases\n\n" + _withheld(result),
        "## Claims\n\n" + _claims(result),
        "## Reference hull\n\n" + _reference(result),
    ]
    return "\n\n".join(parts) + "\n"


def overview(results: Sequence[dict[str, Any]]) -> str:
    """Return the table of all systems: budget, what `random` and `ccdcgan` found, and the claims."""
    lines = [
        "| system | budget, seeds of it | strategy | random seeds | new, <= 0 | <= 50 | <= 100 | withheld found | claimed, of those near the hull |",
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
    """Tell whether the share of `ccdcgan` rises by round over all systems."""
    from scipy.stats import combine_pvalues

    told = []
    for limit in THRESHOLDS[1:]:
        systems = [[run for run in result["runs"] if run["strategy"] == OURS] for result in results]
        trends = [
            (p, sum(len(proposed(run)) for run in runs)) for runs in systems if (p := rise(runs, limit)) is not None
        ]
        if not trends:
            return f"No rounds of `{OURS}` to compare."
        p = combine_pvalues([p for p, _ in trends], "stouffer", [count**0.5 for _, count in trends]).pvalue
        told.append(f"{p:.2g} within {1000 * limit:.0f} meV/atom ({len(trends)} systems)")
    return (
        f"That the share of `{OURS}` does not rise by round, over all systems (each page's p values by Stouffer's method, weighted by the root of "
        f"the relaxations): p {', '.join(told)}."
    )


def claimed(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the new phases near the reference hull that keep their place under the first checking potential and owe nothing to corrections."""
    return [phase for phase in result["near_hull"] if _claimed(phase)]


def _claimed(phase: dict[str, Any]) -> bool:
    one_hull_only = phase["element_driven"] and phase["above_hull"] <= ON_HULL
    return bool(phase["keeps_its_place"]) and not phase["correction_driven"] and not one_hull_only


def _head(result: dict[str, Any]) -> str:
    spec, method = result["provenance"]["spec"], result["provenance"]["method"]
    seeds = sorted({run["seed"] for run in result["runs"]})
    whole = sum(run["complete"] for run in result["runs"])
    budget = (
        f"**Budget of these runs: {result['budget']} relaxations a strategy and seed, {result['seed_count']} of them seeds, then rounds of "
        f"{result['per_round']}; random seeds {', '.join(map(str, seeds))}.** {whole} of {len(result['runs'])} runs are complete."
    )
    lines = [
        f"Written by `ccdcgan-al benchmark discovery`, all figures from `{result['chemical_system']}.json`. {budget}",
        f"The spec asks for {spec['budget']} relaxations; with the same `--work`, this goes there: `{result['goes_on']}`.",
        (
            f"Energies: {method['calculator']} {method['version']}, {method['functional']}, {result['provenance']['scale']}. "
            f"Spin: {spec['spin']}."
        ),
        _elements(result["provenance"]["element_references"]),
    ]
    return "\n\n".join(lines + ([spec["notes"]] if spec["notes"] else []))


def _elements(references: dict[str, Any]) -> str:
    """Tell whose elements set the zero, and which of the method's are off."""
    whose = "the Materials Project's" if references["scheme"] == "materials_project" else "the method's own"
    off = ", ".join(f"{symbol} {1000 * value:+.0f}" for symbol, value in references["deviations"].items())
    warnings = " ".join(f"**{warning}.**" for warning in references["warnings"])
    distances = f" The method's elements less the Materials Project's (meV/atom): {off}." if off else ""
    return f"The zero: {whose} energies of the elements.{distances} {warnings}".strip()


def _verdicts(result: dict[str, Any]) -> str:
    """Tell what was found though withheld, what lies on the hull, what another potential leaves there, and what would need DFT."""
    found: dict[str, list[str]] = {name: [] for name in result["withheld_in_limits"]}
    for run in result["runs"]:
        for name in withheld_found(run).keys() & found.keys():
            found[name].append(f"`{run['strategy']}`")
    known = [f"{name} by {', '.join(sorted(set(by)))}" if by else f"{name} by none" for name, by in found.items()]
    near = [phase for phase in result["near_hull"] if phase["withheld"] is None]
    on_hull = [phase for phase in near if phase["above_hull"] <= 0 and not phase["element_driven"]]
    kept = [phase for phase in claimed(result) if phase["withheld"] is None]
    checked = f"{len(kept)} of them claimed, within 25 by the checking potential too: {_names(kept)}"
    if any(phase["keeps_its_place"] is None for phase in near):
        checked += "; of the others not all are checked by it, or it relaxes them into something else"
    magnetic = "" if result["provenance"]["spec"]["spin"].startswith("none:") else ", with spin"
    lines = [
        f"- Known phases found though withheld: {'; '.join(known) or 'none was withheld'}.",
        f"- New and not withheld, on the reference hull or below it: {_names(on_hull)}.",
        f"- New and not withheld, within 50 meV/atom of it: {len(near)}; {checked}.",
        f"- To confirm by DFT{magnetic}: {f'those {len(kept)}, lowest first' if kept else 'none of them'}; nothing here is confirmed.",
    ]
    for name, figures in result["summary"].items():
        within, sound, dilute = (figures[column][0] for column in ("0.1", "sound", "dilute"))
        if within:
            lines.append(
                f"- Of `{name}`'s {within:.0f} new phases within 100 meV/atom per 100 relaxations, {dilute:.0f} are more than {100 * DILUTE:.0f} % "
                f"one element, where the hull is shallow, and {within - sound:.0f} would be on the hull with MP2020 corrections."
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
        "Proposed: relaxations after the seeds. Above hull: median above the reference hull of what relaxed (meV/atom). New, <= 0, 50, 100: "
        "unique new phases within so many meV/atom of the reference hull, per 100 proposed relaxations, failures counted; then how many reduced "
        "formulas those within 50 have (stackings of one layer share theirs), how many MP2020 corrections would not put on the hull "
        "(not corr.), and how many are dilute, more than "
        f"{100 * DILUTE:.0f} % one element. S.U.N.: unique new "
        "within 100 meV/atom, as a share of all that was given to the relaxer (not of all that was drawn: what is not relaxed has no energy). "
        f"New is what matches (StructureMatcher, {matcher}) no relaxed seed, no known phase that was not withheld and no earlier candidate, "
        "and is a plausible crystal. Withheld found: those beyond the size limits, too. CPU s: proposing and selecting, networks included, "
        "relaxations not. ± is the standard deviation over random seeds. "
        f"Code that proposed (sha256 of the package's source): {', '.join(code)}."
    )


def _goals(result: dict[str, Any]) -> str:
    lines = ["| goal (set for Bi-Se, budget 200, 3 seeds) | wanted | here |", "|---|---|---|"]
    for text, (figure, key, least) in GOALS.items():
        value = result[figure].get(key)
        lines.append(
            f"| {text} | >= {least:g} | {'not defined: the other found none, or did not run' if value is None else _verdict(value, least)} |"
        )
    summary = result["summary"]
    for other in ("random", "one-shot"):
        least = GOALS[f"within 50 meV/atom, times `{other}`"][2]
        if {"ccdcgan", other} <= summary.keys() and summary[other]["sound_near"][0]:
            ratio = summary["ccdcgan"]["sound_near"][0] / summary[other]["sound_near"][0]
            lines.append(
                f"| within 50, less what MP2020 corrections would put on the hull, times `{other}` | >= {least:g} | {_verdict(ratio, least)} |"
            )
    for other in ("substitution", "perturbation"):
        if {"ccdcgan", other} <= summary.keys():
            ours, theirs = (summary[name]["0.05"][0] for name in ("ccdcgan", other))
            said = "met" if ours > theirs else "**not met**"
            lines.append(
                f"| within 50 meV/atom per 100 relaxations, above `{other}` | > {theirs:.3g} | {ours:.3g}, {said} |"
            )
    found, wanted = result["withheld_found"].get("ccdcgan"), result["withheld_total"]
    if found is not None and result["withhold_hull"]:
        lines.append(
            f"| withheld phases within the size limits found by `ccdcgan` | {wanted} | {_verdict(found, wanted)} |"
        )
    if near := result["near_hull"]:
        kept = f"{len(claimed(result))} of {len(near)} do, and no other is claimed"
        lines.append(
            f"| new within 50 meV/atom keep their place (within 25) by `{next(iter(near[0]['checked']), '-')}` | all | {kept} |"
        )
    return "\n".join(lines)


def _verdict(value: float, least: float) -> str:
    return f"{value:.3g}, {'met' if value >= least else '**not met**'}"


def _rounds(result: dict[str, Any]) -> str:
    lines = [
        (
            "Unique new phases within 0 / 50 / 100 meV/atom, of so many relaxations, by round; seeds added up. The last column has the p values "
            "that the share within 50 and within 100 does not rise (one-sided test for a trend)."
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
            "Of the relaxations of each strategy whose pool holds both: crystal graphs that the GAN drew, and low-lying structures with atoms "
            "swapped, atoms transmuted, or layers slipped. Unique new phases within 0 / 50 / 100 meV/atom, seeds added up."
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
        return "None was withheld."
    inside = set(result["withheld_in_limits"])
    lines = [
        "| phase | within 20 sites and 10 Å | found (strategy-seed: after how many relaxations) |",
        "|---|---|---|",
    ]
    for name in result["withheld"]:
        found = [
            f"{run['strategy']}-{run['seed']}: {withheld_found(run)[name]}"
            for run in result["runs"]
            if name in withheld_found(run)
        ]
        lines.append(f"| {name} | {'yes' if name in inside else 'no'} | {', '.join(found) or 'by none'} |")
    lines.append(
        "\nSeeds that match or relax into a withheld phase are left out or set aside, so no strategy learns from them; `substitution` may "
        "still propose a withheld phase's prototype."
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
        f"{len(kept)} are within 25 meV/atom of the hull of the first checking potential too, and owe nothing to corrections: these alone are claimed"
        if near[0]["checked"]
        else "**no other potential has checked them, so none is claimed**"
    )
    text = (
        f"{len(near)} unique new phases of all strategies and seeds lie within 50 meV/atom of the reference hull, {below} of them on or below it; "
        f"{judged}; {driven} would be on the hull with MP2020 corrections but are not, {by_elements} are "
        "on the hull with one choice of the elements' energies only. Energies above each potential's own reference hull in "
        "meV/atom (-: that potential relaxes it into another structure, or not at all). **None is confirmed by DFT, which every one would need**, "
        "with spin where the page says so; the cells are in the JSON."
    )
    parts = [f"{text}\n\n{_shift(near)}" if near[0]["checked"] else text]
    if kept:
        parts.append(_phases(kept))
    parts += [f"**`{name}` checked nothing**: {why}." for name, why in result.get("checks_without_hull", {}).items()]
    if others:
        parts += ["### Near the hull by the campaign's potential alone, not claimed", _phases(others[:SHOWN])]
    if len(others) > SHOWN:
        parts.append(f"{len(others) - SHOWN} more are in the JSON.")
    return "\n\n".join(parts)


def _shift(near: Sequence[dict[str, Any]]) -> str:
    """Tell how the first checking potential moves what is near the hull."""
    name = next(iter(near[0]["checked"]))
    both = np.array(
        [(phase["above_hull"], phase["checked"][name]) for phase in near if phase["checked"][name] is not None]
    )
    if not len(both):
        return f"`{name}` leaves none of them what it is."
    kept, near_both = sum(bool(phase["keeps_its_place"]) for phase in near), (both[:, 1] <= THRESHOLDS[1]).sum()
    low, middle, high = 1000 * np.percentile(both[:, 1] - both[:, 0], (25, 50, 75))
    return (
        f"Of the {len(both)} that stay what they are under `{name}`, half move by {low:+.0f} to {high:+.0f} meV/atom (median {middle:+.0f}); "
        f"it has {kept} within 25 meV/atom of its hull and {near_both} within 50."
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
        "| phase | formation energy (meV/atom) | above hull (meV/atom) | with own elements | sites |",
        "|---|---|---|---|---|",
    ]
    for item in sorted(result["reference"], key=lambda item: (item["fractions"], item["above_hull"])):
        energies = " | ".join(
            f"{1000 * item[name]:.0f}" for name in ("formation_energy", "above_hull", "own_elements_above_hull")
        )
        lines.append(f"| {item['name']} | {energies} | {item['n_sites']} |")
    if result["reference_failed"]:
        failed = ", ".join(f"{name} ({reason})" for name, reason in result["reference_failed"].items())
        lines.append(f"\nNot in the hull, since it did not relax: {failed}.")
    return "\n".join(lines)
