"""What is measured, and what it is held to. Values only; no input and output."""

import dataclasses
import statistics

PEERS = ("haproxy", "nginx")
RESUMING = ("haproxy_resuming", "nginx_resuming")


@dataclasses.dataclass(frozen=True)
class Target:
    """A contender's figure is to be at most, or where more is better at least, `limit` times the best median among `of`, or
    `limit` itself where that is empty."""
    contender: str
    limit: float
    of: tuple = ()


@dataclasses.dataclass(frozen=True)
class Figure:
    key: str
    title: str
    unit: str
    more_is_better: bool = False
    targets: tuple = ()
    # Among the bars of the chart.
    charted: bool = False

    def best(self, medians, keys):
        """The best of the medians that are there; None if none is."""
        there = [medians[key] for key in keys if medians.get(key) is not None]
        return (max if self.more_is_better else min)(there) if there else None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of a target. `value` is the ratio, or the figure itself."""
    target: Target
    value: float
    met: bool


class Results:
    """All values of one run: of each row and figure, by contender, one for each repetition."""

    def __init__(self):
        self.rows = {}

    def add(self, row_key, contender_key, values):
        """`values`: {figure's key: number}."""
        row = self.rows.setdefault(row_key, {})
        for figure_key, value in values.items():
            row.setdefault(figure_key, {}).setdefault(contender_key, []).append(value)

    def values(self, row_key, figure_key):
        return self.rows.get(row_key, {}).get(figure_key, {})

    def medians(self, row_key, figure_key):
        return {key: statistics.median(values) for key, values in self.values(row_key, figure_key).items()}

    def verdicts(self, row_key, figure):
        """Of those of the figure's targets for which everything has been measured."""
        medians = self.medians(row_key, figure.key)
        found = []
        for target in figure.targets:
            own = medians.get(target.contender)
            best = figure.best(medians, target.of)
            if own is None or (target.of and not best):
                continue
            value = own / best if target.of else own
            met = value >= target.limit if figure.more_is_better else value <= target.limit
            found.append(Verdict(target, value, met))
        return found
