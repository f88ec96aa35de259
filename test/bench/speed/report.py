"""The results of a run as Markdown and as JSON."""

import statistics

from .figures import PEERS, RESUMING

_GROUPS = {PEERS: "the better peer", RESUMING: "the better resuming"}


def number(value):
    """Three figures that count, without an exponent."""
    if value is None:
        return ""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if size >= 100 or value == 0 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def cell(values):
    """Median, and least to greatest where there are several."""
    if not values:
        return ""
    text = number(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({number(min(values))}–{number(max(values))})"


def verdict_text(verdict, figure, titles):
    sign = "≥" if figure.more_is_better else "≤"
    mark = "✓" if verdict.met else "✗"
    name = titles[verdict.target.contender]
    if not verdict.target.of:
        return f"{name} {number(verdict.value)} {sign} {number(verdict.target.limit)} {mark}"
    of = _GROUPS.get(verdict.target.of) or " / ".join(titles[key] for key in verdict.target.of)
    return f"{name} {number(verdict.value)} × {of}, {sign} {number(verdict.target.limit)} {mark}"


def table(row, results, titles):
    """One row of the comparison as a Markdown table: figures below each other, contenders beside each other."""
    measured = results.rows.get(row.key, {})
    columns = [key for key in titles if any(key in by_contender for by_contender in measured.values())]
    lines = [f"### {row.title}", "",
             "| figure | " + " | ".join(titles[key] for key in columns) + " | targets |",
             "|---|" + "---:|" * len(columns) + "---|"]
    for figure in row.figures:
        values = measured.get(figure.key)
        if not values:
            continue
        name = f"{figure.title}, {figure.unit}" if figure.unit else figure.title
        verdicts = "<br>".join(verdict_text(verdict, figure, titles) for verdict in results.verdicts(row.key, figure))
        lines.append(f"| {name} | " + " | ".join(cell(values.get(key)) for key in columns) + f" | {verdicts} |")
    return "\n".join(lines) + "\n"


def markdown(rows, results, titles, machine):
    """All of it, with what must be known of the machine."""
    verdicts = [verdict for row in rows for figure in row.figures for verdict in results.verdicts(row.key, figure)]
    met = sum(verdict.met for verdict in verdicts)
    head = [f"Measured on {machine['cpus']} CPUs ({machine['model']}), Linux {machine['kernel']}, in {machine['minutes']:.1f} "
            f"minutes. Medians of {machine['repeat']}, least and greatest in brackets. "
            f"Whatever else ran took {machine['busy_before']:.0%} of the CPUs before, {machine['foreign_median']:.0%} in the median of "
            f"all measurements, {machine['foreign_most']:.0%} at most."]
    head.append(f"HAProxy {machine['peers']['haproxy']}, nginx {machine['peers']['nginx']}.")
    if not machine["quiet"]:
        head += ["", "**Others took part in this: these figures show that the benchmark works, and nothing else.**"]
    if machine["quick"]:
        head += ["", "**Measured quickly: no figure to rely on.**"]
    for key, errors in machine["failures"].items():
        for error in errors:
            head += ["", f"**{key}, not measured: {' '.join(error.split())}**"]
    head += ["", f"{met} of {len(verdicts)} targets are met.", ""]
    return "\n".join(head) + "\n" + "\n".join(table(row, results, titles) for row in rows if row.key in results.rows)


def document(rows, results, titles, machine):
    """All of it for programs."""
    found = {"machine": machine, "contenders": titles, "rows": {}}
    for row in rows:
        if row.key not in results.rows:
            continue
        figures = {}
        for figure in row.figures:
            values = results.values(row.key, figure.key)
            if not values:
                continue
            figures[figure.key] = {
                "title": figure.title, "unit": figure.unit, "more_is_better": figure.more_is_better,
                "values": values, "medians": results.medians(row.key, figure.key),
                "targets": [{"contender": verdict.target.contender, "limit": verdict.target.limit,
                             "of": list(verdict.target.of), "value": verdict.value, "met": verdict.met}
                            for verdict in results.verdicts(row.key, figure)]}
        found["rows"][row.key] = {"title": row.title, "figures": figures}
    return found
