"""What the suite's verdicts should be, and how a run's verdicts differ from that.

Pure: reads expected.json and nothing else, runs nothing. A verdict is the pair
[behavior, behaviorClose] of one case. A case id is one like 7.1.6; a prefix of one
counts whole numbers only, so that 7.1 covers 7.1.6 and not 7.13.1.
"""

import json
from collections import Counter
from pathlib import Path

EXPECTED = Path(__file__).resolve().parent / "expected.json"


def expected(role):
    """{case id: [behavior, behaviorClose]} for a role of expected.json."""
    page = json.loads(EXPECTED.read_text())
    wanted = {case: page[role]["default"] for row in page["cases"] for case in expand(row)}
    for case, verdict in page[role]["exceptions"].items():
        if case not in wanted:
            raise ValueError(f"expected.json: exception {case} is not among the cases")
        wanted[case] = verdict
    return wanted


def expand(row):
    """The ids of a row such as 1.1.1-8; a row without a dash is one id."""
    first, dash, last = row.partition("-")
    if not dash:
        return [row]
    prefix, _, start = first.rpartition(".")
    return [f"{prefix}.{number}" for number in range(int(start), int(last) + 1)]


def select(cases, prefixes):
    """The cases that lie under one of the prefixes, in their order."""
    return [case for case in cases if any(f"{case}.".startswith(f"{p}.") for p in prefixes)]


def by_number(case):
    return [int(part) for part in case.split(".")]


def differences(got, wanted, selected):
    """{case: a line} where the verdict is not the wanted one, or is missing, or extra.

    `got` and `wanted` are {case id: verdict}. A case that was selected and has no wanted
    verdict is a difference as well: nothing passes unchecked.
    """
    lines = {}
    for case in set(selected) | set(got):
        want, have = wanted.get(case), got.get(case)
        if case not in selected:
            lines[case] = f"{case}: got {show(have)}, not among the cases asked for"
        elif have is None:
            lines[case] = f"{case}: missing from the report, wanted {show(want)}"
        elif want is None:
            lines[case] = f"{case}: got {show(have)}, expected.json has no verdict for it"
        elif list(have) != list(want):
            lines[case] = f"{case}: got {show(have)}, wanted {show(want)}"
    return {case: lines[case] for case in sorted(lines, key=by_number)}


def show(verdict):
    return "no verdict" if verdict is None else " / ".join(verdict)


def table(got):
    """Sections down, verdicts across, once for behavior and once for behaviorClose."""
    parts = [part_of_table("behavior", got, 0), part_of_table("behaviorClose", got, 1)]
    return "\n\n".join(parts)


def part_of_table(title, got, field):
    counts = Counter((case.split(".")[0], verdict[field]) for case, verdict in got.items())
    kinds = sorted({kind for _, kind in counts}, key=lambda kind: (kind != "OK", kind))
    sections = sorted({section for section, _ in counts}, key=int)
    rows = [[title, *kinds, "all"]]
    for section in sections:
        row = [counts[section, kind] for kind in kinds]
        rows.append([section, *row, sum(row)])
    totals = [sum(counts[section, kind] for section in sections) for kind in kinds]
    rows.append(["all", *totals, sum(totals)])
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows)]
    return "\n".join("  ".join(str(cell).rjust(width) for cell, width in zip(row, widths))
                     for row in rows)
