"""Which of an operator's words make sense now, and what the answer to each says. Pure."""

from __future__ import annotations

from api.operations import OperationState, OperationType, Verb

SAID = {
    Verb.PAUSE: "it stops at its next safe point",
    Verb.RESUME: "it goes on",
    Verb.RETRY: "the step that failed is tried again",
    Verb.SKIP: "it goes on without what failed",
    Verb.ABORT: "it ends, and what can be put back is put back",
}


def refuse_verb(verb: str, operation: str, state: str, *, failed: bool, pausing: bool = False, ending: str = "") -> str:
    """Why not, with what would do; empty where it may be said. ``operation``: workflow id, empty where none runs.
    ``ending``: why the operation that runs is being ended, so that a word to it would be lost.

    ``pausing``: a pause was said and not reached yet. ``failed``: an operation failed or was aborted, and is not begun
    again by itself.
    """
    if verb not in set(Verb):
        return f"there is no {verb!r}; say one of {', '.join(Verb)}"
    if not operation:
        if verb == Verb.RETRY and failed:
            return ""
        return "no operation runs now" + ("; retry begins the one that failed again" if failed else "")
    if ending:
        return f"the operation is ending ({ending}); say it to the one that comes next"
    if f"/{OperationType.DELETE}/" in operation:
        return "a deletion cannot be held up"
    if f"/{OperationType.FAILOVER}/" in operation:
        return "a failover cannot be held up: the App would be left without a primary"
    if verb == Verb.RESUME and state != OperationState.PAUSED and not pausing:
        return f"the operation is {state}, not paused" + ("; retry, skip or abort it" if _stopped(state) else "")
    if verb == Verb.PAUSE and state != OperationState.RUNNING:
        return f"the operation is {state} already"
    if verb in (Verb.RETRY, Verb.SKIP) and not _stopped(state):
        return f"the operation is {state}; {verb} is for one that stopped at a step"
    return ""


def _stopped(state: str) -> bool:
    return state == OperationState.STOPPED
