"""The one loop: view -> decide -> guard -> apply -> record. What is simulated is what is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from ..dispatch import Belief, Call, Plan, Record, View, World
from ..errors import InputError
from ..site.site import Setpoints
from ..terms import Term
from ..timeline import Kw
from .calls import Desk, calls_of
from .changes import Damper
from .guard import Guard, guard_for
from .policy import Policy, Setting
from .twin import Twin

PROGRESS_EVERY = 2000


def run(
    world: World,
    assets: Sequence[Any],
    policy: Policy,
    terms: Sequence[Term] = (),
    *,
    import_limit_kw: float | Kw = inf,
    export_limit_kw: float | Kw = 0.0,
    reserve_kwh: dict[str, Kw] | None = None,
    belief: Belief | None = None,
    telemetry: bool = True,
    compiled: bool = True,
    progress: Callable[[float], None] | None = None,
    notes: list[str] | None = None,
    streams: Sequence[Any] = (),
    setpoints: Setpoints | None = None,
) -> Record:
    """Run a policy against the twin over the whole world and return what was metered.

    terms: what the streams ask, over the whole timeline. reserve_kwh: (n + 1,) floor by store that
    overrides every plan. telemetry: see Twin. compiled: use the policy's own kernel of this loop where it offers
    one for these shapes; the kernel is proven equal to the loop. progress: called with the share done. notes:
    what the guard did, and what could not be used, is appended in words. streams: reasons beyond the tariff, whose
    calls a policy with `answers` sees and answers; what becomes of them stands in the record (see calls.py).
    setpoints: how often the plant may be told something new (see changes.py). Errors: InputError for several lanes
    where calls are answered.
    """
    answers = bool(streams) and bool(getattr(policy, "answers", False))
    twin = Twin(
        world,
        assets,
        belief=belief,
        telemetry=telemetry,
        streams=streams if answers else (),
        export_limit_kw=export_limit_kw,
    )
    n = world.timeline.n
    said: list[str] = []
    calls = calls_of(streams, world, [o.name for o in twin.stores], said) if streams else []
    if answers and twin.base_kw.shape[0] > 1:
        raise InputError(
            f"{policy.kind}: calls are answered in one lane at a time; run each scenario by itself"
        )
    guard = guard_for(twin.stores, n, world.timeline.step_h, import_limit_kw, export_limit_kw, reserve_kwh)
    guard.given, guard.may_cut = twin.given, twin.may_cut
    setting = Setting(
        world.timeline,
        assets,
        terms,
        import_limit_kw,
        export_limit_kw,
        streams if answers else (),
        {name: limits.floor_kwh for name, limits in guard.stores.items()} if answers else {},
        simulated=True,  # a twin: some policies may never be run on anything else
    )
    policy.prepare(setting)
    _narrow(guard, policy, None)
    # A kernel follows the belief; a battery with an efficiency curve does not.
    plain = all(getattr(a, "truth_is_belief", True) for a in assets)
    damper = _damper(setpoints, twin)
    swift = compiled and telemetry and plain and not answers and damper is None
    kernel = getattr(policy, "kernel", None) if swift else None
    desk = Desk(calls, world.timeline)
    record: Record | None = None if kernel is None else kernel(twin, guard)
    if record is None:
        stretch = (
            getattr(policy, "stretch", None) if compiled and telemetry and plain and damper is None else None
        )
        record = (
            _answering(twin, policy, guard, desk, damper, stretch, progress)
            if answers
            else _plainly(twin, policy, guard, damper, progress)
        )
    if damper is not None:
        record = replace(record, extra={**record.extra, **damper.extra()})
    if told := desk.extra():  # who cannot answer refuses
        record = replace(record, extra={**record.extra, **told})
    if progress is not None:
        progress(1.0)
    if notes is not None:
        remarks: Callable[[], list[str]] = getattr(policy, "remarks", list)
        notes += [
            *guard.sentences(world.timeline.when),
            *said,
            *desk.sentences(),
            *twin.sentences(),
            *remarks(),
        ]
    return record


def _narrow(guard: Guard, policy: Policy, view: View | None) -> None:
    """Keep stores to what a policy with `windows_kwh` says, which may be more at every view."""
    windows: Callable[[View | None], dict[str, tuple[Kw, Kw]]] | None = getattr(policy, "windows_kwh", None)
    for name, (low, high) in ({} if windows is None else windows(view)).items():
        guard.narrow(name, low, high)


def _damper(rules: Setpoints | None, twin: Twin) -> Damper | None:
    if rules is None or rules.free:
        return None
    names = [a.name for a in twin.assets if a.name not in twin.given]
    return Damper(rules, twin.timeline, names, twin.base_kw.shape[0])


def _guarded(twin: Twin, guard: Guard, damper: Damper | None, plan: Plan) -> dict[str, Any]:
    """Setpoints of a plan as far as they may be changed, and then as far as they are allowed."""
    k, wishes = twin.k, dict(plan.setpoints_kw)
    if damper is not None:
        wishes = damper.damp(k, wishes, twin.seen_base_kw, twin.net_kw(k - 1) if k else None)
    energy = {o.name: twin.state[o.name] for o in twin.stores}
    allowed = guard.project(k, twin.base_kw[:, k], energy, wishes)
    if damper is not None:
        damper.note(k, wishes, allowed)
    return allowed


def _plainly(
    twin: Twin,
    policy: Policy,
    guard: Guard,
    damper: Damper | None,
    progress: Callable[[float], None] | None,
) -> Record:
    """Interval by interval."""
    n = twin.timeline.n
    for k in range(n):
        twin.apply(_guarded(twin, guard, damper, policy.decide(twin.read())))
        if progress is not None and k % PROGRESS_EVERY == 0:
            progress(k / n)
    return twin.record()


def _answering(
    twin: Twin,
    policy: Policy,
    guard: Guard,
    desk: Desk,
    damper: Damper | None,
    stretch: Callable[[Twin, Guard, int], bool] | None,
    progress: Callable[[float], None] | None,
) -> Record:
    """Interval by interval with calls: the plan passes the guard, then awards are held beside it as far as there is
    room, and what they call passes the guard again. stretch: the policy's own loop of intervals in which nobody calls
    (see Policy)."""
    n, names = twin.timeline.n, [o.name for o in twin.stores]
    standing: Callable[[int], list[tuple[Call, float]]] | None = getattr(policy, "standing", None)
    told = 0
    while (k := twin.k) < n:
        if progress is not None and k >= told:
            progress(k / n)
            told = k + PROGRESS_EVERY
        if stretch is not None and (until := desk.quiet_until(k)) > k and stretch(twin, guard, until):
            continue
        view = desk.show(twin.read())
        plan = policy.decide(view)
        _narrow(guard, policy, view)
        desk.take(k, plan)
        allowed = _guarded(twin, guard, damper, plan)
        called = desk.hold(k, twin, guard, allowed, () if standing is None else standing(k))
        if called is not None:
            energy = {name: twin.state[name] for name in names}
            allowed = guard.project(k, twin.base_kw[:, k], energy, called)
        twin.apply(allowed)
    return twin.record()
