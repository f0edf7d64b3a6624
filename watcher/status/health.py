"""Whether an App is as wanted. Pure, and the only place that says so.

"As wanted" is a claim that is checked: it is made where the activities have said that nothing of the present spec is
left to do, no operation is under way, and not one of the problems below was observed. What a plugin does not tell is
no problem; an agent that is not heard is.

Problems come in the order of their harm. Each belongs to one of the App's conditions, has a metric of its own, and
those that a person has to know of an Event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from api.app import Phase
from api.tools import FOLLOWS_NOBODY
from watcher.roles.said import Writes
from watcher.status.conditions import Condition
from watcher.status.facts import AppFacts, ComponentFacts, NodeFacts

AS_WANTED = "as wanted"
_NAMED = 5


class Kind(StrEnum):
    """What is wrong: the reason of a condition, and a label of the metric."""

    TWO_HOLDERS = "TwoHolders"
    NODES_NOT_READY = "NodesNotReady"
    UNREADABLE_VOLUME = "UnreadableVolume"
    KEEPS_ENDING = "KeepsEnding"
    ROLE_VACANT = "RoleVacant"
    SERVICE_MISSING = "ServiceMissing"
    WRITES_REFUSED = "WritesRefused"
    CREDENTIALS_REFUSED = "CredentialsRefused"
    CREDENTIALS_CHANGED = "CredentialsChanged"
    FOLLOWS_ANOTHER = "FollowsAnother"
    NOT_TAKEN_IN = "NotTakenIn"
    PRIMARY_IN_DOUBT = "PrimaryInDoubt"
    FAILOVER_OFF = "FailoverOff"
    VOLUME_GOING = "VolumeGoing"
    ADDRESS_CHANGED = "AddressChanged"
    PARAMETERS_DIFFER = "ParametersDiffer"
    NOT_HEARD = "NotHeard"


NOT_SERVING = frozenset(
    {
        Kind.TWO_HOLDERS, Kind.NODES_NOT_READY, Kind.ROLE_VACANT, Kind.SERVICE_MISSING, Kind.WRITES_REFUSED,
        Kind.CREDENTIALS_REFUSED, Kind.FOLLOWS_ANOTHER,
    }
)  # fmt: skip
"""An App with one of these is not Ready; with any other it is degraded only."""
TOLD = frozenset(Kind) - {Kind.NODES_NOT_READY, Kind.ROLE_VACANT, Kind.PRIMARY_IN_DOUBT, Kind.NOT_HEARD}
"""In an Event. The others come and go with every start of a Pod, or are told by whoever deals with them."""
URGENT = TOLD - {Kind.KEEPS_ENDING}
"""Also behind the message of an operation that waits, which says itself what it waits for."""


@dataclass(frozen=True)
class Problem:
    """``message``: a sentence without a full stop that names the nodes. ``mark``: tells one from the next that says the
    same."""

    kind: Kind
    message: str
    mark: str = ""


@dataclass(frozen=True)
class Health:
    """``problems`` also while an operation is under way, which may be about them."""

    phase: Phase
    message: str
    problems: tuple[Problem, ...]
    conditions: tuple[Condition, ...]

    @property
    def as_wanted(self) -> bool:
        return self.phase is Phase.RUNNING


@dataclass(frozen=True)
class _Aspect:
    """A condition that some of the problems make False. ``good``: its reason where there are none."""

    type: str
    good: str
    kinds: frozenset[Kind]


_ASPECTS = (
    _Aspect("SingleHolder", "OneAtMost", frozenset({Kind.TWO_HOLDERS})),
    _Aspect("WritesAccepted", "Accepted", frozenset({Kind.WRITES_REFUSED})),
    _Aspect("ReplicasFollow", "AllFollow", frozenset({Kind.FOLLOWS_ANOTHER, Kind.NOT_TAKEN_IN})),
    _Aspect("CredentialsAccepted", "Accepted", frozenset({Kind.CREDENTIALS_REFUSED, Kind.CREDENTIALS_CHANGED})),
    _Aspect("FailoverReady", "Ready", frozenset({Kind.FAILOVER_OFF, Kind.NOT_TAKEN_IN, Kind.ADDRESS_CHANGED})),
    _Aspect("ParametersInEffect", "InEffect", frozenset({Kind.PARAMETERS_DIFFER})),
)


def health(facts: AppFacts) -> Health:
    """What the App's status says of it."""
    found = tuple(problems(facts))
    phase, message = _said(facts, found)
    return Health(phase, message, found, (_ready(facts, found), _degraded(facts, found), *_aspects(facts, found)))


def problems(facts: AppFacts) -> Iterator[Problem]:
    """What is wrong, the worst first."""
    order = list(Kind)
    found = [problem for component in facts.components for problem in _of_component(component)]
    if not any(component.nodes for component in facts.components):
        found.append(Problem(Kind.NODES_NOT_READY, "there are no nodes yet"))
    found += [
        Problem(Kind.NOT_TAKEN_IN, f"{node} was replaced as primary and has not been taken in again")
        for node in facts.replaced
    ]
    found += [Problem(Kind.PRIMARY_IN_DOUBT, note) for note in facts.notes]
    missing = [problem.message for problem in found if problem.kind is Kind.NODES_NOT_READY]
    if len(missing) > 1:  # one sentence for all components
        found = [problem for problem in found if problem.kind is not Kind.NODES_NOT_READY]
        found.append(Problem(Kind.NODES_NOT_READY, "; ".join(missing)))
    yield from sorted(found, key=lambda problem: order.index(problem.kind))


def only_unheard(found: Health) -> bool:
    """Whether nothing keeps the App from being as wanted but that agents are not heard."""
    return found.phase is Phase.DEGRADED and all(problem.kind is Kind.NOT_HEARD for problem in found.problems)


def of_component(component: ComponentFacts) -> Condition:
    """The condition Ready of the Component resource."""
    found = [problem for problem in _of_component(component) if problem.kind in NOT_SERVING]
    if not component.nodes:
        found.append(Problem(Kind.NODES_NOT_READY, "there are no nodes yet"))
    return _serving(found, len(component.nodes))


def counted(nodes: Sequence[NodeFacts]) -> Condition:
    """The condition Ready of a Group: by its Pods alone."""
    found = list(_missing(nodes, ""))
    if not nodes:
        found.append(Problem(Kind.NODES_NOT_READY, "there are no nodes yet"))
    return _serving(found, len(nodes))


def _serving(found: Sequence[Problem], total: int) -> Condition:
    if found:
        order = list(Kind)
        worst = min(found, key=lambda problem: order.index(problem.kind))
        return Condition("Ready", False, worst.kind, _joined(found))
    return Condition("Ready", True, "AllNodesReady", f"{total} of {total} nodes are ready")


def _of_component(component: ComponentFacts) -> Iterator[Problem]:
    yield from _missing(component.nodes, component.name)
    yield from _holders(component)
    for service in component.missing if component.nodes else ():
        yield Problem(Kind.SERVICE_MISSING, f"the Service {service} is missing, so its clients reach nobody")
    yield from _followers(component)
    for node in component.nodes:
        yield from _of_node(component, node)


def _missing(nodes: Sequence[NodeFacts], component: str) -> Iterator[Problem]:
    """``component``: named where the App counts its nodes beside, of all components; else empty."""
    missing = [node.name for node in nodes if not node.ready]
    if missing:
        named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        of = f"{component}: " if component else ""
        ready = f"{of}{len(nodes) - len(missing)} of {len(nodes)} nodes are ready"
        yield Problem(Kind.NODES_NOT_READY, f"{ready}; not ready: {named}")


def _holders(component: ComponentFacts) -> Iterator[Problem]:
    for role in sorted(component.writable):
        claiming = _claiming(component, role)
        if len(claiming) > 1 and role in component.exclusive:
            yield Problem(Kind.TWO_HOLDERS, f"{' and '.join(claiming)} both claim the role {role}")
        elif component.nodes and not any(node.role == role for node in component.nodes):
            yield Problem(Kind.ROLE_VACANT, f"no node holds the role {role}")


def _claiming(component: ComponentFacts, role: str) -> list[str]:
    own = {node.name for node in component.nodes if role in (node.claims, node.role)}
    return sorted(own | {node for node, claimed in component.others.items() if claimed == role})


def _followers(component: ComponentFacts) -> Iterator[Problem]:
    """Who is to be followed is known where one node claims the one exclusive role that there is."""
    names = {node.address: node.name for node in component.nodes if node.address}
    claiming = [name for role in component.exclusive for name in _claiming(component, role)]
    primary = next((node for node in component.nodes if claiming == [node.name]), None)
    for node in component.nodes:
        follows = node.heard.follows if node.heard is not None else ""
        if not follows or node is primary or node.claims in component.exclusive:
            continue
        if follows == FOLLOWS_NOBODY:
            yield Problem(Kind.FOLLOWS_ANOTHER, f"{node.name} follows nobody")
        elif primary is not None and len(component.exclusive) == 1 and follows != primary.address:
            whom = names.get(follows, follows)
            yield Problem(Kind.FOLLOWS_ANOTHER, f"{node.name} follows {whom} and not {primary.name}")


def _of_node(component: ComponentFacts, node: NodeFacts) -> Iterator[Problem]:
    if not node.address or (node.announced and node.announced != node.address):
        what = f"the Service of {node.name} has the address {node.address}" if node.address else (
            f"the Service of {node.name} is missing")  # fmt: skip
        told = f", its engine announces {node.announced}" if node.announced else ""
        yield Problem(Kind.ADDRESS_CHANGED, what + told)
    if node.volume_going:
        said = f"the volume claim of {node.name} was deleted, and goes with its data as soon as its Pod has ended"
        yield Problem(
            Kind.VOLUME_GOING, f"{said}; delete that Pod while another node has the data, which it then copies"
        )
    if node.differing:
        first, more = node.differing[0], len(node.differing) - 1
        said = f"{node.name} runs with {first.parameter} {first.in_effect or 'unset'}, asked for was {first.asked}"
        yield Problem(Kind.PARAMETERS_DIFFER, said + (f", and {more} more like that" if more else ""))
    heard = node.heard
    if heard is None or heard.silence:
        if node.ready:  # else it is counted already
            why = heard.silence if heard is not None else "its agent has not been heard yet"
            yield Problem(Kind.NOT_HEARD, f"{node.name}: {why}")
        if heard is None:
            return
    holds = {node.role, node.claims} & component.writable
    if holds and heard.fenced:
        why = "the platform has not renewed its lease, nor has a majority of its replicas"
        yield Problem(Kind.WRITES_REFUSED, f"{node.name} is {min(holds)} and takes no writes: {why}")
    elif holds and heard.writes in (Writes.REFUSED, Writes.REFUSED_HERE):
        yield Problem(Kind.WRITES_REFUSED, f"{node.name} is {min(holds)} and refuses writes: {heard.refusal}")
    elif component.writable and heard.writes is Writes.REFUSED_HERE:
        said = f"{node.name} could not take writes, were it to take over: {heard.refusal}"
        yield Problem(Kind.FAILOVER_OFF, said)
    if heard.keeps_ending:
        yield Problem(Kind.KEEPS_ENDING, f"the engine of {node.name} keeps ending: {heard.keeps_ending}")
    if heard.unreadable:
        yield Problem(Kind.UNREADABLE_VOLUME, f"{node.name}: {heard.unreadable}")
    if heard.credentials_refused:
        said = f"{node.name} does not accept the credentials that the App's Secret holds; put the former ones back"
        yield Problem(Kind.CREDENTIALS_REFUSED, said)
    if heard.credentials_changed:
        said = "the App's Secret holds another password than the engines run with; RotateCredentials brings it about"
        yield Problem(Kind.CREDENTIALS_CHANGED, said, heard.credentials_changed)
    if heard.failover_off:
        yield Problem(Kind.FAILOVER_OFF, f"{node.name}: {heard.failover_off}, so no lost primary would be replaced")


def _said(facts: AppFacts, found: Sequence[Problem]) -> tuple[Phase, str]:
    if facts.deleting:
        return Phase.DELETING, facts.told
    urgent = _joined([problem for problem in found if problem.kind in URGENT])
    if facts.refusal and facts.phase is Phase.RUNNING:
        return Phase.REFUSED, facts.refusal
    if facts.phase is not Phase.RUNNING or facts.operating:
        settling = facts.working or facts.phase in (Phase.PENDING, Phase.DEPLOYING, Phase.UPDATING)
        phase = Phase.UPDATING if facts.phase is Phase.RUNNING else facts.phase
        # What an operation is at work on comes and goes; where it stands, a person reads the message to decide.
        return phase, (facts.told or "an operation is under way") if settling else "; ".join(
            filter(None, (facts.told, urgent))
        )
    if facts.seen != facts.generation:
        return Phase.UPDATING, f"generation {facts.generation} of the spec is yet to be looked at"
    said = _joined(found) if found else AS_WANTED
    return Phase.DEGRADED if found else Phase.RUNNING, "; ".join(filter(None, (said, facts.told)))


def _joined(found: Sequence[Problem]) -> str:
    return "; ".join(dict.fromkeys(problem.message for problem in found))


def _ready(facts: AppFacts, found: Sequence[Problem]) -> Condition:
    if facts.deleting:
        return Condition("Ready", False, "Deleting", "the App is being deleted")
    if facts.refusal:
        # Also while a newer spec waits to be looked at: until then nothing says that it is right.
        return Condition("Ready", False, "InvalidSpec", facts.refusal)
    if not facts.began:
        return Condition("Ready", False, "Deploying", facts.told or "the first deploy has not ended yet")
    nodes = sum(len(component.nodes) for component in facts.components)
    return _serving([problem for problem in found if problem.kind in NOT_SERVING], nodes)


def _degraded(facts: AppFacts, found: Sequence[Problem]) -> Condition:
    verdict = _ready(facts, found)
    nodes = any(component.nodes for component in facts.components)
    if verdict.reason in ("Deploying", "Deleting") or (not nodes and verdict.reason == "InvalidSpec"):
        return Condition("Degraded", False, verdict.reason, verdict.message)  # never ran, so nothing of it is lost
    if found:
        return Condition("Degraded", True, found[0].kind, _joined(found))
    return Condition("Degraded", False, "NothingFound", "")


def _aspects(facts: AppFacts, found: Sequence[Problem]) -> Iterator[Condition]:
    if not any(component.nodes for component in facts.components):
        return
    unknown = _unknown(facts)
    for aspect in _ASPECTS:
        own = [problem for problem in found if problem.kind in aspect.kinds]
        if own:
            yield Condition(aspect.type, False, own[0].kind, _joined(own))
        elif aspect.type in unknown:
            yield Condition(aspect.type, None, "NotTold", unknown[aspect.type])
        else:
            yield Condition(aspect.type, True, aspect.good, "")


def _unknown(facts: AppFacts) -> Mapping[str, str]:
    """By condition, why nothing can be said of it."""
    nodes = [(component, node) for component in facts.components for node in component.nodes]
    silent = [node.name for _, node in nodes if node.heard is None or node.heard.silence]
    if silent:
        why = f"not heard: {', '.join(silent[:_NAMED])}"
        return {aspect.type: why for aspect in _ASPECTS if aspect.type != "ParametersInEffect"}
    holders = [node for component, node in nodes if node.role in component.writable]
    told = [node for node in holders if node.heard is not None and node.heard.writes is not Writes.UNKNOWN]
    unknown = {} if told else {"WritesAccepted": "no node tells whether it takes writes"}
    unproven = sorted(node for component in facts.components for node in component.unproven)
    if unproven:
        who = ", ".join(unproven[:_NAMED])
        unknown["SingleHolder"] = f"silent or replaced since they claimed an exclusive role: {who}"
    return unknown
