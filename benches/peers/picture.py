"""Draws target/results.json: a panel for each workload, a bar for each server.

    picture.py RESULTS.json FOLDER     writes peers-light.svg and peers-dark.svg

Owns the looks only. Runs in the environment that has matplotlib.
"""

import json
import sys
from pathlib import Path

import matplotlib
from matplotlib import pyplot

import report
import workloads
from results import Results

COLUMNS = 3
# Text, throng's bars, the others', the floor's, lines.
LIGHT = {"text": "#24292f", "ours": "#1f6feb", "others": "#aab4c0", "floor": "#dfe4ea"}
DARK = {"text": "#d6dde4", "ours": "#58a6ff", "others": "#56616d", "floor": "#343d47"}


def panel(axes, results, workload, colours):
    bars = []
    for server in report.names(results):
        spread = results.spread(workload.name, server, workload.figure)
        if spread:
            bars.append((spread, results.about["versions"][server][0], server))
    bars.sort(key=lambda bar: bar[0].median, reverse=workload.figure != "rate")
    most = max(bar[0].median for bar in bars)
    for place, (spread, title, server) in enumerate(bars):
        kind = {"throng": "ours", "floor": "floor"}.get(server, "others")
        axes.barh(place, spread.median, color=colours[kind], height=0.72)
        axes.text(spread.median + most * 0.02, place, report.number(spread.median),
                  va="center", fontsize=8, color=colours["text"])
    axes.set_yticks(range(len(bars)), [title for _, title, _ in bars], fontsize=8)
    for label, (_, _, server) in zip(axes.get_yticklabels(), bars):
        label.set_color(colours["ours" if server == "throng" else "text"])
        label.set_fontweight("bold" if server == "throng" else "normal")
    axes.set_xlim(0, most * 1.22)
    better = "more is better" if workload.figure == "rate" else "less is better"
    axes.set_title(f"{workload.title}\n{workload.unit}, {better}", fontsize=8.5, loc="left",
                   color=colours["text"])
    axes.tick_params(length=0)
    axes.xaxis.set_visible(False)
    axes.patch.set_alpha(0)
    for side in axes.spines.values():
        side.set_visible(False)


def draw(results, colours, path):
    chosen = report.measured(results)
    rows = -(-len(chosen) // COLUMNS)
    figure, grid = pyplot.subplots(rows, COLUMNS, figsize=(12.5, 2.5 * rows), squeeze=False)
    figure.patch.set_alpha(0)
    for place, axes in enumerate(grid.flat):
        if place < len(chosen):
            panel(axes, results, chosen[place], colours)
        else:
            axes.set_axis_off()
    figure.tight_layout(h_pad=2)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    pyplot.close(figure)


def main(source, folder):
    matplotlib.use("svg")
    # Text stays text; the same figures give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peers",
                                "font.family": "sans-serif"})
    source = Path(source)
    results = Results(source, json.loads(source.read_text())["about"], resume=True)
    if not report.measured(results):
        sys.exit(f"picture.py: nothing was measured, of {len(workloads.ALL)} workloads")
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        draw(results, colours, Path(folder) / f"peers-{name}.svg")


if __name__ == "__main__":
    main(*sys.argv[1:])
