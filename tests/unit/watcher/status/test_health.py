"""An App is said to be as wanted where everything was observed and nothing is wrong, and in no other case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.app import Phase
from api.effective import Effective
from api.tools import FOLLOWS_NOBODY
from watcher.roles.said import Said, Writes
from watcher.status.facts import AppFacts, ComponentFacts, Differing, NodeFacts, differing_of
from watcher.status.health import AS_WANTED, Health, Kind, health, problems

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
NAMES = ["cache-0", "cache-1", "cache-2"]


def well() -> AppFacts:
    """A primary and two replicas in good health."""
    nodes = [
        NodeFacts(
            name,
            ready=True,
            role="replica" if number else "master",
            claims="replica" if number else "master",
            heard=Said(writes=Writes.UNKNOWN if number else Writes.ACCEPTED, follows=ADDRESSES[0] if number else ""),
            address=ADDRESSES[number],
            announced=ADDRESSES[number],
        )
        for number, name in enumerate(NAMES)
    ]
    roles = frozenset({"master"})
    return AppFacts(3, 3, Phase.RUNNING, components=(ComponentFacts("redis", tuple(nodes), roles, roles),))


def with_node(facts: AppFacts, number: int, said: Said | None = None, **changes: object) -> AppFacts:
    (component,) = facts.components
    nodes = list(component.nodes)
    if said is not None:
        changes["heard"] = said
    nodes[number] = replace(nodes[number], **changes)  # type: ignore[arg-type]
    return replace(facts, components=(replace(component, nodes=tuple(nodes)),))


def condition(found: Health, kind: str) -> tuple[bool | None, str]:
    return next((each.true, each.reason) for each in found.conditions if each.type == kind)


def test_an_app_in_good_health_is_as_wanted() -> None:
    found = health(well())
    assert (found.phase, found.message, found.as_wanted, found.problems) == (Phase.RUNNING, AS_WANTED, True, ())
    aspects = ("SingleHolder", "WritesAccepted", "ReplicasFollow", "CredentialsAccepted", "FailoverReady")
    assert all(condition(found, kind)[0] for kind in ("Ready", *aspects, "ParametersInEffect"))


@pytest.mark.parametrize(
    ("facts", "kind", "aspect", "ready", "words"),
    [
        (
            with_node(well(), 1, claims="master"),
            Kind.TWO_HOLDERS,
            "SingleHolder",
            False,
            "cache-0 and cache-1 both claim the role master",
        ),
        (
            with_node(well(), 0, Said(writes=Writes.REFUSED, refusal="NOREPLICAS Not enough good replicas")),
            Kind.WRITES_REFUSED,
            "WritesAccepted",
            False,
            "cache-0 is master and refuses writes: NOREPLICAS Not enough good replicas",
        ),
        (
            with_node(well(), 0, Said(writes=Writes.UNKNOWN, fenced=True)),
            Kind.WRITES_REFUSED,
            "WritesAccepted",
            False,
            "cache-0 is master and takes no writes",
        ),
        (
            with_node(well(), 1, Said(follows=ADDRESSES[2])),
            Kind.FOLLOWS_ANOTHER,
            "ReplicasFollow",
            False,
            "cache-1 follows cache-2 and not cache-0",
        ),
        (
            with_node(well(), 1, Said(follows=FOLLOWS_NOBODY)),
            Kind.FOLLOWS_ANOTHER,
            "ReplicasFollow",
            False,
            "cache-1 follows nobody",
        ),
        (
            with_node(well(), 2, Said(follows=ADDRESSES[0], credentials_refused=True)),
            Kind.CREDENTIALS_REFUSED,
            "CredentialsAccepted",
            False,
            "cache-2 does not accept the credentials that the App's Secret holds",
        ),
        (
            with_node(well(), 2, Said(follows=ADDRESSES[0], credentials_changed="..1")),
            Kind.CREDENTIALS_CHANGED,
            "CredentialsAccepted",
            True,
            "the App's Secret holds another password than the engines run with",
        ),
        (
            with_node(well(), 0, differing=(Differing("maxclients", "10000", "4064"),)),
            Kind.PARAMETERS_DIFFER,
            "ParametersInEffect",
            True,
            "cache-0 runs with maxclients 4064, asked for was 10000",
        ),
        (
            with_node(well(), 1, Said(follows=ADDRESSES[0], failover_off="this Sentinel does not reach the primary")),
            Kind.FAILOVER_OFF,
            "FailoverReady",
            True,
            "cache-1: this Sentinel does not reach the primary, so no lost primary would be replaced",
        ),
        (
            with_node(
                well(), 2, Said(follows=ADDRESSES[0], writes=Writes.REFUSED_HERE, refusal="its last save failed")
            ),
            Kind.FAILOVER_OFF,
            "FailoverReady",
            True,
            "cache-2 could not take writes, were it to take over: its last save failed",
        ),
        (
            with_node(well(), 1, Said(follows=ADDRESSES[0], keeps_ending="exit code 1: bad directive")),
            Kind.KEEPS_ENDING,
            "Degraded",
            True,
            "the engine of cache-1 keeps ending: exit code 1: bad directive",
        ),
        (
            with_node(
                well(), 1, Said(follows=ADDRESSES[0], unreadable="version 8.0 of the engine has had this volume")
            ),
            Kind.UNREADABLE_VOLUME,
            "Degraded",
            True,
            "cache-1: version 8.0 of the engine has had this volume",
        ),
        (
            with_node(well(), 1, volume_going=True),
            Kind.VOLUME_GOING,
            "Degraded",
            True,
            "the volume claim of cache-1 was deleted, and goes with its data as soon as its Pod has ended; delete that "
            "Pod while another node has the data, which it then copies",
        ),
        (
            with_node(well(), 1, address="10.0.0.9"),
            Kind.ADDRESS_CHANGED,
            "FailoverReady",
            True,
            "the Service of cache-1 has the address 10.0.0.9, its engine announces 10.0.0.2",
        ),
        (
            replace(well(), replaced=("cache-2",)),
            Kind.NOT_TAKEN_IN,
            "ReplicasFollow",
            True,
            "cache-2 was replaced as primary and has not been taken in again",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_node_in_message_condition_and_degraded(
    facts: AppFacts, kind: Kind, aspect: str, ready: bool, words: str
) -> None:
    found = health(facts)
    assert found.phase is Phase.DEGRADED
    assert words in found.message
    assert [problem.kind for problem in found.problems] == [kind]
    assert condition(found, aspect) == (aspect == "Degraded", kind)
    assert condition(found, "Degraded") == (True, kind)
    assert condition(found, "Ready")[0] is ready


def test_a_node_that_a_scale_is_removing_is_a_second_holder_all_the_same() -> None:
    facts = well()
    gone = replace(facts.components[0], others={"cache-7": "master"})
    assert Kind.TWO_HOLDERS in {problem.kind for problem in problems(replace(facts, components=(gone,)))}


def test_an_operation_that_waits_is_told_with_what_a_person_has_to_know() -> None:
    facts = replace(with_node(well(), 1, claims="master"), phase=Phase.WAITING, told="Upgrade stopped", operating=True)
    assert health(facts).message == "Upgrade stopped; cache-0 and cache-1 both claim the role master"
    moving = replace(facts, phase=Phase.UPDATING, told="Switchover: its machine", working=True)
    assert health(moving).message == "Switchover: its machine", "roles are on their way"


def test_an_app_with_something_that_a_repair_left_is_not_as_wanted_though_all_nodes_are_well() -> None:
    left = "Repair could not put back: Service cache-master: spec.selector differs"
    found = health(replace(well(), phase=Phase.WAITING, told=left))
    assert (found.phase, found.message, found.as_wanted) == (Phase.WAITING, left, False)
    assert condition(found, "Ready") == (True, "AllNodesReady")


def test_what_a_drain_waits_for_stands_behind_the_claim() -> None:
    found = health(replace(well(), told="machine m1 is cordoned: cache-0 is master"))
    assert found.message == "as wanted; machine m1 is cordoned: cache-0 is master"


def test_a_note_on_parameters_that_somebody_spoilt_says_nothing() -> None:
    note = Effective("a", "b", differs={"maxclients": ["10000", "4064"]})
    assert differing_of(note.annotation()) == (Differing("maxclients", "10000", "4064"),)
    spoilt = [replace(note, differs=differs).annotation() for differs in (3, {"a": 1}, {"a": ["1"]})]  # type: ignore[arg-type]
    for each in ("", "{", "[]", '{"differs": {}}', *spoilt):
        assert differing_of(each) == ()


SAID = st.builds(
    Said,
    silence=st.sampled_from(["", "the agent hangs"]),
    writes=st.sampled_from(Writes),
    refusal=st.just("MISCONF"),
    fenced=st.booleans(),
    follows=st.sampled_from(["", FOLLOWS_NOBODY, *ADDRESSES]),
    credentials_refused=st.booleans(),
    credentials_changed=st.sampled_from(["", "..1"]),
    keeps_ending=st.sampled_from(["", "exit code 1"]),
    unreadable=st.sampled_from(["", "version 8.0 has had this volume"]),
    failover_off=st.sampled_from(["", "it does not reach the primary"]),
)
ROLES = st.sampled_from(["", "master", "replica"])


@st.composite
def observed(draw: st.DrawFn) -> AppFacts:
    """Anything that may be seen: mostly an App in good health in which a few things are otherwise."""
    facts = well()
    for number in range(len(NAMES)):
        (component,) = facts.components
        known = component.nodes[number]
        changes = {
            "ready": st.booleans(),
            "role": ROLES,
            "claims": ROLES,
            "heard": st.none() | SAID,
            "address": st.sampled_from(["", *ADDRESSES]),
            "differing": st.just((Differing("a", "1", "2"),)),
        }
        for name in draw(st.lists(st.sampled_from(sorted(changes)), max_size=1)):
            known = replace(known, **{name: draw(changes[name])})  # type: ignore[arg-type]
        facts = with_node(facts, number, **{name: getattr(known, name) for name in changes})
    (component,) = facts.components
    others = draw(st.sampled_from([{}, {}, {"cache-7": "master"}]))
    facts = replace(facts, components=(replace(component, others=others),))
    more = {
        "generation": st.just(4),
        "phase": st.sampled_from(Phase),
        "told": st.just("something was done"),
        "operating": st.just(True),
        "deleting": st.just(True),
        "refusal": st.just("spec.topology: unknown"),
        "replaced": st.just(("cache-1",)),
        "notes": st.just(("cache-0 hangs",)),
    }
    for name in draw(st.lists(st.sampled_from(sorted(more)), max_size=2)):
        facts = replace(facts, **{name: draw(more[name])})
    return facts


@settings(max_examples=400, deadline=None)
@given(observed())
def test_nothing_that_is_wrong_is_ever_as_wanted(facts: AppFacts) -> None:
    """Written once more from what a person would call wrong, not from how it is found."""
    nodes = facts.components[0].nodes
    holders = {n.name for n in nodes if "master" in (n.role, n.claims)} | set(facts.components[0].others)
    holding = [n for n in nodes if n.name in holders]
    primary = holding[0].address if holding else ""
    wrong = [
        len(holders) != 1,
        not all(n.ready for n in nodes),
        any(n.heard is None or n.heard.silence for n in nodes),
        any(n.heard is not None and n.heard.writes in (Writes.REFUSED, Writes.REFUSED_HERE) for n in holding),
        any(n.heard is not None and n.heard.writes is Writes.REFUSED_HERE for n in nodes),
        any(n.heard is not None and n.heard.fenced for n in holding),
        any(n.heard is not None and n.heard.credentials_refused for n in nodes),
        any(n.heard is not None and n.heard.credentials_changed for n in nodes),
        any(n.heard is not None and n.heard.keeps_ending for n in nodes),
        any(n.heard is not None and n.heard.unreadable for n in nodes),
        any(n.heard is not None and n.heard.failover_off for n in nodes),
        any(n.heard is not None and n.heard.follows == FOLLOWS_NOBODY and n not in holding for n in nodes),
        any(n.heard is not None and n.heard.follows not in ("", primary) and n not in holding for n in nodes),
        any(n.differing for n in nodes),
        any(n.announced != n.address for n in nodes),
        bool(facts.replaced or facts.notes or facts.refusal),
        facts.operating or facts.deleting,
        facts.phase is not Phase.RUNNING,
        facts.seen != facts.generation,
    ]
    found = health(facts)
    if any(wrong):
        assert not found.as_wanted
        assert AS_WANTED not in found.message
    assert found.as_wanted is found.message.startswith(AS_WANTED)
    assert not (found.as_wanted and found.problems)
    assert condition(found, "Ready")[0] or not found.as_wanted
