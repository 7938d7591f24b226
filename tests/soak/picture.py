"""Draw what a run has seen: one part for each figure, both contenders in it, the warm-up shaded."""

from tests.soak.report import FIGURES, TITLES, trends_of, versions

COLORS = {"onehop": "#0c7a43", "stock": "#c2571a"}
SIZE_INCHES = (11, 12)
DPI = 110


def draw(record, path):
    """
    Write a PNG.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    picture = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    parts = picture.subplots(4, 2, sharex=True).flat
    trends = trends_of(record)
    for figure, part in zip(FIGURES, parts, strict=False):
        for name, history in record.histories.items():
            points = history.points(figure.name)
            trend = trends[name][figure.name]
            label = TITLES[name] + (f", {trend} an hour" if trend else "")
            minutes, values = [second / 60 for second, _ in points], [value for _, value in points]
            part.plot(minutes, values, ".-", color=COLORS[name], label=label, linewidth=1.2, markersize=3)
        part.axvspan(0, record.warm_up_s / 60, color="0.92", zorder=0)
        part.set_title(figure.title, loc="left", fontsize=10)
        part.set_ylim(bottom=0, top=1.35 * max(part.get_ylim()[1], 1))
        part.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        part.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        part.legend(loc="upper left", fontsize=8, frameon=False)
        part.grid(axis="y", color="0.9")
        part.spines[["top", "right"]].set_visible(False)
        part.tick_params(labelbottom=True)
    for part in parts:
        part.set_axis_off()
    picture.supxlabel("minutes; the warm-up is shaded; each point: nothing in flight", fontsize=10)
    requests = " and ".join(f"{history.requests():,}" for history in record.histories.values())
    said = ", ".join(f"{name} {version}" for name, version in versions().items() if name in ("Django", "Python"))
    picture.suptitle(f"Soak on {record.options.server}, {said}: {requests} requests", fontsize=12)
    picture.savefig(path)
