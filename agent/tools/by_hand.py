"""``agent tool NAME [--trace[=full]] [NAME=VALUE ...]``: has agent 2 run one tool, and prints what came of it (``mw
tool``).

It asks agent 2 by a socket in their container rather than run the steps itself: the lease, an ``undo`` and one run of a
tool at a time hold for a person too. Prints lines as they come, then each value of the result. Exit code 1: the tool
failed, or is not run; 2: wrong usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import grpc

from agent.settings import Settings
from proto import agent_pb2 as pb
from proto import agent_pb2_grpc

_USAGE = "usage: agent tool NAME [--trace[=full]] [NAME=VALUE ...]\n"
_TRACE, _WHOLE = "--trace", "--trace=full"


def run() -> int:
    """The exit code."""
    words = sys.argv[2:]
    traces = {_TRACE, _WHOLE}
    given = [word for word in words if word not in traces]
    if not given or "=" in given[0] or not all("=" in word for word in given[1:]):
        sys.stderr.write(_USAGE)
        return 2
    request = pb.RunRequest(
        request_id=f"by-hand/{os.urandom(8).hex()}",
        tool=given[0],
        arguments=dict(word.split("=", 1) for word in given[1:]),
        trace=bool(traces.intersection(words)),
        trace_whole=_WHOLE in words,
    )
    socket = Settings.from_environment().tools_socket
    try:
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            return _printed(agent_pb2_grpc.ToolsStub(channel).Run(request))
    except grpc.RpcError as error:
        sys.stderr.write(f"{error.details() if isinstance(error, grpc.Call) else error}\n")
        return 1


def _printed(outputs: Iterable[pb.RunOutput]) -> int:
    result = pb.ToolResult(message="the agent ended the call without a result")
    for output in outputs:
        if output.WhichOneof("kind") == "result":
            result = output.result
        else:
            sys.stdout.write(f"{output.line}\n")
            sys.stdout.flush()
    if not result.success:
        sys.stderr.write(f"{result.message}\n")
        return 1
    for name, value in sorted(result.values.items()):
        sys.stdout.write(f"{name}: {value}\n")
    return 0
