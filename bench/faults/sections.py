"""The tables of the benchmark, each made of records alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from .calibrate import CHOICES, leave_one_out
from .counts import Count
from .grid import Grid
from .methods import FORCED, PLAIN, Method
from .modules import is_module, module_of
from .records import BANDS, Injected, Record, Records, Verdict
from .verdicts import Mode, strains


def detection(title: str, records: Records, methods: Sequence[Method]) -> Grid:
    """Benign pairs that fail or are left undecided, and single faults that are found, by their effect."""
    rows = []
    for method in methods:
        answers = [method.answer(record) for record in records.benign]
        alarms = Count.of(answer.alarm for answer in answers)
        undecided = Count.of(not answer.alarm and not answer.passes for answer in answers)
        by_band: dict[str | None, list[bool]] = defaultdict(list)
        for record in records.single:
            by_band[record.faults[0].band].append(method.answer(record).alarm)
        found = [Count.of(by_band[name]) for name in BANDS]
        every = Count.of(hit for hits in by_band.values() for hit in hits)
        rows.append([method.name, alarms, alarms.bounds, undecided.hits, *found, every])
    columns = ["", "false alarms", "95 % of %", "undecided", *(f"{name} x" for name in BANDS), "all"]
    unknown = sum(record.faults[0].effect is None for record in records.single)
    notes = [f"{unknown} faults of unknown effect are in no band."] if unknown else []
    return Grid(title, columns, rows, notes)


def localisation(title: str, records: Records, methods: Sequence[Method]) -> Grid:
    """Where detected single faults are put: into their module, a neighbour of it, a neighbour of their layer."""
    rows = []
    for method in methods:
        exact, module, layer = [], [], []
        for record in records.single:
            answer, fault = method.answer(record), record.faults[0]
            if answer.alarm:
                exact.append(answer.origin == fault.module)
                module.append(_distance(answer.origin, fault, record.modules) <= 1)
                layer.append(_layers_apart(answer.origin, fault, record.modules) <= 1)
        counts = [Count.of(hits) for hits in (exact, module, layer)]
        rows.append([method.name, len(exact), *(count.percent for count in counts), str(counts[0]), counts[0].bounds])
    columns = ["", "detected", "exact %", "+-1 module %", "+-1 layer %", "exact", "95 % of %"]
    return Grid(title, columns, rows)


def _distance(origin: str | None, fault: Injected, modules: Sequence[str]) -> float:
    """Modules between two in execution order; infinite without an origin."""
    if origin not in modules or fault.module not in modules:
        return float("inf")
    return abs(modules.index(origin) - modules.index(fault.module))


def _layers_apart(origin: str | None, fault: Injected, modules: Sequence[str]) -> float:
    """Layers between two; what is outside of the layers stands one before the first and one behind the last."""
    last = max((layer for name in modules if (layer := module_of(name).layer) is not None), default=-1)

    def layer_of(name: str) -> int:
        layer, role = module_of(name)
        if layer is not None:
            return layer
        return -1 if role == "embed" else last + 1

    if origin is None or not is_module(origin) or not is_module(fault.module):
        return float("inf")
    return abs(layer_of(origin) - layer_of(fault.module))


def two_at_a_time(records: Records, methods: Sequence[Method]) -> Grid:
    """Two faults in one candidate: whether the origin is the first of them, and whether both are named."""
    rows = []
    for method in methods:
        cells: list[object] = [method.name]
        for strong in (False, True):
            cases = [r for r in records.double if not strong or all(fault.reaches(2) for fault in r.faults)]
            answers = [(record, method.answer(record)) for record in cases]
            cells += [
                Count.of(answer.alarm for _, answer in answers),
                Count.of(answer.origin == record.faults[0].module for record, answer in answers),
                Count.of(
                    {fault.module for fault in record.faults} <= {answer.origin, *answer.independent}
                    for record, answer in answers
                ),
            ]
        rows.append(cells)
    columns = ["", "found", "first", "both", "found, >= 2 x", "first, >= 2 x", "both, >= 2 x"]
    return Grid("Two faults at a time", columns, rows)


def causes(records: Records) -> Grid:
    """Whether what is named as the cause of a located single fault is right."""
    sources: dict[str, Callable[[Record], tuple[Verdict, str | None]]] = {
        "forced, rules": lambda record: (record.forced, _first(record.forced.causes)),
        "forced, a probe before the rules": lambda record: (
            record.forced,
            record.probe or _first(record.forced.causes),
        ),
        "plain pair, rules": lambda record: (record.plain, _first(record.plain.causes)),
    }
    rows = []
    for name, source in sources.items():
        located = [
            (record.faults[0].causes, cause)
            for record in records.single
            for verdict, cause in [source(record)]
            if verdict.fails and verdict.origin == record.faults[0].module
        ]
        known = [(accepted, cause) for accepted, cause in located if accepted]
        right = Count.of(cause in accepted for accepted, cause in known)
        wrong = Count.of(cause is not None and cause not in accepted for accepted, cause in known)
        unseen = Count.of(cause is not None for accepted, cause in located if not accepted)
        rows.append([name, right, right.percent, wrong, wrong.percent, unseen, unseen.percent])
    columns = ["", "right", "%", "wrong name", "%", "named though unseen", "%"]
    notes = [
        "Of faults that were put into their module; those of a kind that has a rule or a probe on the left, on the "
        "right those of kinds that have none, where any name is wrong."
    ]
    return Grid("Causes", columns, rows, notes)


def _first(found: Sequence[str]) -> str | None:
    return found[0] if found else None


def left_out(calibration: Records, tested: Records, mode: Mode) -> Grid:
    """False alarms of each kind of legal kernels under limits that were set without it."""
    found = [leave_one_out(calibration, tested, mode, choice) for choice in CHOICES]
    rows: list[list[object]] = [[kind, *(counts[kind] for counts in found)] for kind in found[0]]
    totals = [Count(sum(c.hits for c in of.values()), sum(c.trials for c in of.values())) for of in found]
    rows += [["all", *totals], ["all, 95 % of %", *(total.bounds for total in totals)]]
    columns = ["kind left out", *map(str, CHOICES)]
    notes = ["All constants proposed anew from the benign pairs of the calibration half, without the kind."]
    return Grid(f"False alarms of a kind of kernels left out, {mode}", columns, rows, notes)


def alarming_rules(records: Records) -> Grid:
    """Which rules alarm on benign pairs, on how many, and in how many modules."""
    pairs: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for record in records.benign:
        for mode, verdict in (("forced", record.forced), ("plain", record.plain)):
            broken = {(f"{mode}: {f['rule']}", f["tensor"]) for f in verdict.findings if f["level"] == "error"}
            modules.update(rule for rule, _ in broken)
            pairs.update({rule for rule, _ in broken})
    rows = [[rule, pairs[rule], modules[rule]] for rule in sorted(pairs)]
    return Grid("Rules that alarmed on benign pairs", ["rule", "pairs", "modules"], rows)


def alarming_pairs(records: Records) -> Grid:
    """The benign pairs that fail: where each alarm was put, and the statistic that is furthest beyond."""
    rows = []
    for record in records.benign:
        for mode, verdict in (("forced", record.forced), ("plain", record.plain)):
            if verdict.fails:
                worst = max(strains(record, mode), key=lambda strain: strain.value, default=None)
                furthest = "-" if worst is None else f"{worst.rule} {worst.value:.2f}"
                name = record.id.removeprefix(f"{record.half}/").removesuffix("/benign")
                rows.append([name, mode, verdict.origin or "-", furthest])
    notes = ["Furthest: the statistic that is most beyond its limit, in units of that."] if rows else []
    return Grid("Benign pairs that fail", ["pair", "by", "origin", "furthest"], rows, notes)


def not_separable(records: Records, method: Method = FORCED) -> Grid:
    """Faults that are never found, whatever the model: what legal kernels do too."""
    by_kind: dict[tuple[str, str], list[tuple[bool, float | None]]] = defaultdict(list)
    for record in records.single:
        fault = record.faults[0]
        by_kind[fault.kind, fault.severity].append((method.answer(record).alarm, fault.effect))
    rows = [
        [f"{kind} {severity}", len(cases), _range([effect for _, effect in cases])]
        for (kind, severity), cases in sorted(by_kind.items())
        if not any(alarm for alarm, _ in cases)
    ]
    return Grid(f"Never found: {method.name}", ["kind and severity", "cases", "effect"], rows)


def _range(effects: Sequence[float | None]) -> str:
    known = sorted(effect for effect in effects if effect is not None)
    return f"{known[0]:.2f}-{known[-1]:.2f}" if known else "?"


PRODUCT = (FORCED, PLAIN)
