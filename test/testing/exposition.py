"""Reads Prometheus' text exposition format 0.0.4 strictly: what a scraper may refuse, this refuses.

Checked: every line is a HELP, a TYPE or a sample; HELP and TYPE once per family and before its samples; samples of a family
together and of its type's names; metric and label names; escapes in help texts and label values; numbers; no series twice;
counters end in _total and are never negative; histograms have growing buckets up to +Inf, a sum, and a count equal to the
last bucket.
"""

import math
import re

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_ESCAPES = {"\\": "\\", '"': '"', "n": "\n"}


class ExpositionError(ValueError):
    """What is wrong, and in which line."""


class Sample:
    """One line: its name (with _bucket, _sum or _count of a histogram), labels and value."""

    def __init__(self, name, labels, value):
        self.name, self.labels, self.value = name, labels, value


class Family:
    """What HELP and TYPE say, and the samples."""

    def __init__(self, name):
        self.name = name
        self.kind = self.help = None
        self.samples = []


def _labels(text, where):
    """The labels between braces, from `text` that follows the brace, and what is left after the closing one."""
    labels = {}
    while not text.startswith("}"):
        name, equals, text = text.partition('="')
        if not equals or not _LABEL.match(name) or name.startswith("__"):
            raise ExpositionError(f"{where}: {name!r} is no label name")
        if name in labels:
            raise ExpositionError(f"{where}: label {name} twice")
        value = []
        while True:
            if not text:
                raise ExpositionError(f"{where}: the value of {name} does not end")
            character, text = text[0], text[1:]
            if character == '"':
                break
            if character == "\\":
                if text[:1] not in _ESCAPES:
                    raise ExpositionError(f"{where}: unknown escape in the value of {name}")
                character, text = _ESCAPES[text[0]], text[1:]
            value.append(character)
        labels[name] = "".join(value)
        if text.startswith(","):
            text = text[1:]
        elif not text.startswith("}"):
            raise ExpositionError(f"{where}: neither a comma nor a brace after the value of {name}")
    return labels, text[1:]


def _number(text, where):
    if text in ("+Inf", "-Inf", "NaN"):
        return float(text)
    if not re.match(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z", text):
        raise ExpositionError(f"{where}: {text!r} is no number")
    return float(text)


def _sample(line, where):
    brace, space = line.find("{"), line.find(" ")
    if brace >= 0 and (space < 0 or brace < space):
        name = line[:brace]
        labels, rest = _labels(line[brace + 1:], where)
        if not rest.startswith(" "):
            raise ExpositionError(f"{where}: no space before the value")
        rest = rest[1:]
    else:
        name, _, rest = line.partition(" ")
        labels = {}
    if not _NAME.match(name):
        raise ExpositionError(f"{where}: {name!r} is no metric name")
    return Sample(name, labels, _number(rest, where))


def _check_histogram(family):
    groups = {}
    for sample in family.samples:
        key = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        groups.setdefault(key, []).append(sample)
    for key, samples in groups.items():
        buckets = [sample for sample in samples if sample.name == family.name + "_bucket"]
        bounds = [_number(sample.labels["le"], family.name) for sample in buckets]
        counts = [sample.value for sample in buckets]
        last = {suffix: [sample.value for sample in samples if sample.name == family.name + suffix]
                for suffix in ("_sum", "_count")}
        if (not bounds or bounds != sorted(set(bounds)) or bounds[-1] != math.inf or counts != sorted(counts)
                or len(last["_sum"]) != 1 or last["_count"] != [counts[-1]]):
            raise ExpositionError(f"{family.name}{dict(key)}: buckets, sum and count do not belong together")


def _check(family):
    if family.help is None or family.kind is None:
        raise ExpositionError(f"{family.name}: no HELP or no TYPE")
    if not family.help.strip():
        raise ExpositionError(f"{family.name}: HELP says nothing")
    if (family.kind == "counter") != family.name.endswith("_total"):
        raise ExpositionError(f"{family.name}: a {family.kind}; counters, and they alone, end in _total")
    if family.kind == "counter" and any(sample.value < 0 or sample.value != sample.value for sample in family.samples):
        raise ExpositionError(f"{family.name}: a counter below zero")
    if family.kind == "histogram":
        _check_histogram(family)


def parse(text):
    """{name: Family} of a page; ExpositionError when something is wrong with it."""
    if text and not text.endswith("\n"):
        raise ExpositionError("the last line has no end")
    families, seen, current = {}, set(), None
    for number, line in enumerate(text.split("\n")[:-1], 1):
        where = f"line {number}: {line[:200]!r}"
        if line.startswith("#"):
            match = re.match(r"# (HELP|TYPE) (\S+) (.*)\Z", line)
            if not match or not _NAME.match(match[2]):
                raise ExpositionError(f"{where}: a comment that is neither HELP nor TYPE")
            word, name, rest = match.groups()
            family = families.setdefault(name, Family(name))
            if family.samples:
                raise ExpositionError(f"{where}: {word} after the samples")
            if current not in (None, family) and not current.samples and (current.help is None or current.kind is None):
                raise ExpositionError(f"{where}: {current.name} has no TYPE")
            current = family
            if word == "HELP":
                if family.help is not None or re.search(r"\\(?![\\n])", rest.replace("\\\\", "")):
                    raise ExpositionError(f"{where}: HELP twice, or an unknown escape in it")
                family.help = rest
            else:
                if family.kind is not None or rest not in ("counter", "gauge", "histogram"):
                    raise ExpositionError(f"{where}: TYPE twice, or not one we use")
                family.kind = rest
            continue
        sample = _sample(line, where)
        if current is None:
            raise ExpositionError(f"{where}: a sample before HELP and TYPE")
        names = ([current.name + suffix for suffix in ("_bucket", "_sum", "_count")]
                 if current.kind == "histogram" else [current.name])
        if sample.name not in names:
            raise ExpositionError(f"{where}: not a sample of {current.name}, whose lines it stands among")
        series = (sample.name, tuple(sorted(sample.labels.items())))
        if series in seen:
            raise ExpositionError(f"{where}: the series is there twice")
        seen.add(series)
        current.samples.append(sample)
    for family in families.values():
        _check(family)
    return families


def total(families, name, **labels):
    """The sum of the samples of a name that have the labels given."""
    family = families.get(name)
    return sum(sample.value for sample in family.samples
               if all(sample.labels.get(label) == value for label, value in labels.items())) if family else 0
