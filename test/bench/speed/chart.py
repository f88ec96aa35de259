"""A bar chart of the results as SVG: each charted figure of each contender, as a multiple of the better peer's."""

from html import escape

from .figures import PEERS

_COLOURS = {"hbone": "#1b6ca8", "mtls": "#5fa8d3", "haproxy": "#9a9a9a", "nginx": "#c9c9c9"}
_LEFT, _WIDTH, _RIGHT, _TOP = 330, 460, 60, 70
_BAR, _GAP = 11, 12
# A bar that is longer is cut off here, and says its number.
_MOST = 1.5


def bars(rows, results):
    """[(label, [(contender, multiple)])] of figures in which less is better."""
    found = []
    for row in rows:
        for figure in row.figures:
            medians = results.medians(row.key, figure.key)
            best = figure.best(medians, PEERS)
            if not figure.charted or not best or best <= 0:
                continue
            found.append((f"{row.title}: {figure.title}",
                          [(key, medians[key] / best) for key in _COLOURS if key in medians]))
    return found


def svg(rows, results, titles):
    """The chart; the empty text when there is nothing to show."""
    groups = bars(rows, results)
    if not groups:
        return ""
    height = _TOP + sum(len(group) * _BAR + _GAP for _, group in groups) + 10
    width = _LEFT + _WIDTH + _RIGHT
    scale = _WIDTH / _MOST
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           '<text x="10" y="20" font-size="14">As a multiple of the better of HAProxy and nginx: shorter is better</text>']
    at = 10
    for key, colour in _COLOURS.items():
        out.append(f'<rect x="{at}" y="33" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{at + 17}" y="43">{escape(titles[key])}</text>')
        at += 40 + 7 * len(titles[key])
    one = _LEFT + scale
    out.append(f'<line x1="{one:.1f}" y1="{_TOP - 12}" x2="{one:.1f}" y2="{height - 10}" stroke="#444444" '
               'stroke-dasharray="3 3"/>')
    y = _TOP
    for label, group in groups:
        middle = y + len(group) * _BAR / 2 + 4
        out.append(f'<text x="{_LEFT - 8}" y="{middle:.1f}" text-anchor="end">{escape(_shortened(label))}</text>')
        for key, multiple in group:
            # A latency that a proxy is said to take away is noise; a bar has no length below zero.
            length = max(0.0, min(multiple, _MOST)) * scale
            out.append(f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR - 1}" fill="{_COLOURS[key]}"/>'
                       f'<text x="{_LEFT + length + 4:.1f}" y="{y + _BAR - 2}" font-size="9">{multiple:.2f}</text>')
            y += _BAR
        y += _GAP
    return "\n".join(out + ["</svg>", ""])


def _shortened(label):
    return label if len(label) <= 58 else label[:57] + "…"
