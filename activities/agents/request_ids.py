"""Ids of calls that change something at a node: its agents answer one that they have answered from their memory.

So an id is of one attempt of one step. An operation has several steps that ask the same of a node (a Scale gives
everybody their files after each node that comes or goes), and a step that is said again is to be done again. Others are
made where what they ask for must hold, or not happen again, whoever asks (a fence, a restart).
"""

from __future__ import annotations

from temporalio import activity


def request_id(verb: str, node: str) -> str:
    info = activity.info()
    return f"{info.workflow_run_id}/{info.activity_id}/{verb}/{node}/{info.attempt}"
