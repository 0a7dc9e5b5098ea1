"""The figures as a page of Markdown.

Owns the words and the tables, and the place between two markers in docs/performance.md. Never
measures, never draws.
"""

import subprocess
import sys

import servers
import workloads
from servers import HERE, TARGET

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
MOST_OF_A_CORE = 0.95
OTHERS_MAX = 0.1  # of a core, by other programs: what is left of it on a machine at rest


def number(value):
    """Three digits are all that a measurement of this kind can bear."""
    if value is None:
        return "–"
    if value >= 1000:
        digits = len(str(int(value)))
        return f"{round(value, 3 - digits):,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def in_words(workload, figures):
    """One measurement, for the line that shows while the run goes on."""
    words = [f"{number(figures.get(workload.figure))} {workload.unit}"]
    if workload.figure == "rate" and figures.get("cpu_us"):
        words.append(f"{number(figures['cpu_us'])} µs of CPU")
    if (figures.get("busy") or 0) >= MOST_OF_A_CORE:
        words.append("(the load was at its end)")
    if (figures.get("others") or 0) > OTHERS_MAX:
        words.append(f"(other programs took {figures['others']:.0%} of a core)")
    return ", ".join(words)


def names(results):
    """The servers that were measured, throng first."""
    versions = results.about["versions"]
    return sorted(versions, key=lambda name: name != "throng")


def measured(results):
    return [one for one in workloads.ALL if results.samples.get(one.name)]


def ratio(results, workload, server, figure):
    ours = results.median(workload.name, "throng", figure)
    theirs = results.median(workload.name, server, figure)
    return theirs / ours if ours and theirs else None


def times(value):
    """A ratio."""
    if value is None:
        return "–"
    return number(value) if value >= 10 else f"{value:.2f}"


def is_behind(figure, value):
    """Whether throng is behind a server whose figure is `value` times its own."""
    return value > 1 if figure == "rate" else value < 1


def ratio_table(results, figure):
    """A row for each workload, a column for each server, in multiples of throng's figure."""
    columns = names(results)
    rows = [one for one in measured(results)
            if figure == "cpu_us" and one.figure == "rate" or figure == "own"]
    if not rows:
        return ""
    titles = [results.about["versions"][name][0] for name in columns]
    lines = [f"| | {' | '.join(titles)} |", f"|---|{'---|' * len(columns)}"]
    for workload in rows:
        of = workload.figure if figure == "own" else figure
        cells = []
        for server in columns:
            value = ratio(results, workload, server, of)
            if value is None:
                cells.append("–")
            elif server == "throng":
                cells.append(number(results.median(workload.name, server, of)))
            else:
                behind_it = is_behind(of, value)
                cells.append(f"**{times(value)}**" if behind_it else times(value))
        unit = workload.unit if figure == "own" else f"µs of CPU for one of the {workload.unit}"
        unit = unit.replace("/s", "") if figure == "cpu_us" else unit
        lines.append(f"| {workload.title} ({unit}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread_cell(spread):
    if spread is None:
        return "–"
    return f"{number(spread.median)} ({number(spread.least)} to {number(spread.most)})"


def full_table(results, workload):
    """Every server on one workload: medians, least and most."""
    has_cpu = workload.figure == "rate"
    head = ["server", workload.unit, "to throng"]
    head += ["µs of server CPU for one", "to throng", "load's core"] if has_cpu else []
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for server in names(results):
        own = results.spread(workload.name, server, workload.figure)
        if own is None:
            continue
        value = ratio(results, workload, server, workload.figure)
        cells = [results.about["versions"][server][0], spread_cell(own),
                 times(value)]
        if has_cpu:
            value = ratio(results, workload, server, "cpu_us")
            busy = results.median(workload.name, server, "busy")
            cells += [spread_cell(results.spread(workload.name, server, "cpu_us")),
                      times(value), f"{busy:.0%}" if busy else "–"]
        lines.append(f"| {' | '.join(cells)} |")
    asked = [one.get("asked") for rounds in results.samples[workload.name].values()
             for one in rounds]
    at = f", {asked[-1]:,} messages/s" if asked and asked[-1] else ""
    return f"\n**{workload.title}{at}** (`{workload.name}`)\n\n" + "\n".join(lines)


def footnotes(results):
    """Why a dash stands where it stands."""
    lines = []
    for workload in workloads.ALL:
        for server, reason in results.failures.get(workload.name, {}).items():
            if results.rounds(workload.name, server) == 0:
                lines.append(f"- {server} on `{workload.name}`: {reason}")
    if disturbed := sum((one.get("others") or 0) > OTHERS_MAX
                        for of in results.samples.values() for rounds in of.values()
                        for one in rounds):
        lines.append(f"- in {disturbed} of the measurements other programs took more than "
                     f"{OTHERS_MAX:.0%} of a core")
    for server, reason in results.about.get("missing", {}).items():
        lines.append(f"- {server} was left out: {reason}")
    return "\n".join(lines)


def behind(results):
    """Where throng is not first: workload, figure, server, ratio."""
    found = []
    for workload in measured(results):
        for figure in ([workload.figure, "cpu_us"] if workload.figure == "rate"
                       else [workload.figure]):
            for server in names(results)[1:]:
                value = ratio(results, workload, server, figure)
                if value and is_behind(figure, value):
                    found.append((workload.name, figure, server, value))
    return found


def summary(results):
    """What a terminal shows at the end."""
    parts = ["", "throng's own figure, and the others' as multiples of it:", "",
             ratio_table(results, "own"), "", "Server CPU:", "", ratio_table(results, "cpu_us"), ""]
    if "throng" in names(results):
        rows = behind(results)
        parts += [f"throng is behind on {name}, {figure}: {server} has {times(value)} x"
                  for name, figure, server, value in rows] or ["throng is first everywhere"]
    if notes := footnotes(results):
        parts += ["", notes]
    return "\n".join(parts)


# --- The page --------------------------------------------------------------------------------

def command(about, rounds):
    """How to have the page again; what belongs to a machine is left open."""
    known = {server.name for server in [servers.throng(), *servers.peers()]}
    more = [name for name in about["versions"] if name not in known and name != "floor"]
    words = ["benches/peers/run", f"--rounds {rounds} --seconds {about['seconds']}"]
    words += ["--generator wsload:PATH"] if about["generator"].startswith("wsload") else []
    words += ["--floor PATH"] if "floor" in about["versions"] else []
    words += [f"--extra {name}=COMMAND" for name in more]
    return " ".join([*words, "--write"])


def page(results):
    about = results.about
    rounds = {len(rounds) for of in results.samples.values() for rounds in of.values()}
    versions = ", ".join(f"{title} {version}" for title, version in about["versions"].values())
    absent = [f"`{one.name}`" for one in workloads.ALL if one not in measured(results)]
    tables = "\n".join(full_table(results, workload) for workload in measured(results))
    notes = footnotes(results)
    if absent:
        notes += f"\n- not in this run: {', '.join(absent)}"
    between = str(min(rounds)) if len(rounds) == 1 else f"{min(rounds)} to {max(rounds)}"
    return f"""\
    {command(about, max(rounds))}

{about['date']}, {about['machine']}. Load: {about['generator']}. Server on one
core, load on the other, loopback; {between} rounds of {about['seconds']} s, in each of which every
server has its turn; medians.
{versions}.

<picture>
  <source media="(prefers-color-scheme: dark)" srcset="images/peers-dark.svg">
  <img alt="A bar for each server on each workload" src="images/peers-light.svg">
</picture>

throng's own figure, and those of the others as multiples of it; bold where throng is behind:

{ratio_table(results, 'own')}

The same for the CPU time of the server, which counts where the load was at its end before the
server was (*load's core* near 100 % below):

{ratio_table(results, 'cpu_us')}

{notes + chr(10) if notes else ''}
<details><summary>Every figure, with the least and the most of the rounds</summary>
{tables}

</details>"""


def write(results, root):
    place = root / "docs/performance.md"
    text = place.read_text()
    if BEGIN not in text or END not in text:
        raise servers.InstallError(f"{place.name} has no {BEGIN} ... {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    draw(results, root / "docs/images")
    place.write_text(f"{before}{BEGIN}\n\n{page(results)}\n\n{END}{after}")
    print(f"written: {place.relative_to(root)}, docs/images/peers-*.svg")


def draw(results, folder):
    """The picture is matplotlib's, which lives in an environment of its own."""
    venv, wanted = TARGET / "venv", HERE / "requirements.txt"
    installed = venv / "requirements.txt"  # written last, so a half installation is redone
    if not installed.exists() or installed.read_text() != wanted.read_text():
        print("preparing matplotlib", flush=True)
        servers.run([sys.executable, "-m", "venv", "--clear", venv])
        servers.run([venv / "bin/pip", "install", "--quiet", "-r", wanted])
        installed.write_text(wanted.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([venv / "bin/python", HERE / "picture.py", results.path, folder], check=True)
