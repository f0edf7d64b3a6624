"""A push that meets the start of the engine; what a push does to one that runs is in test_redis."""

from __future__ import annotations

from agent.documents import DocumentStore, parse
from agent.process.link import StatusFollower, StatusPublisher
from agent.process.reaper import Reaper
from agent.process.state import State, StatusBoard
from agent.settings import Settings
from agent.tooling.interpreter import Interpreter
from agent.tooling.secrets import Secrets
from agent.tools.reload import Reloader
from tests.unit.agent.support import Node, pushed


async def test_an_engine_that_starts_while_a_push_is_written_is_given_its_parameters(node: Node) -> None:
    """Agent 1 has looked at the documents before, and agent 2 has not heard of the process yet."""
    given = {"steps": [{"write": {"path": "/middleware/given", "content": "{{ arg.size }}"}}]}
    node.mount(node.document())
    settings = Settings.from_environment(node.environment())
    documents, board = DocumentStore(settings), StatusBoard()
    reloader = Reloader(documents, Interpreter(settings, Secrets(settings.secrets_dir), Reaper()))
    publisher = StatusPublisher(settings.manager_socket, board)
    await publisher.start()
    follower = StatusFollower(settings.manager_socket, StatusBoard())
    new = {
        file.source: file.content.decode() for file in pushed(node.document(revision=2, tools={"reloadConfig": given}))
    }

    async def just_started() -> bool:
        assert documents.effective().document.revision == 2, "asked when it is written"
        board.update(state=State.STARTING, pid=7)
        return await follower.alive()

    try:
        assert not await follower.alive()
        result = await reloader.reload(parse(new, "what was pushed"), {"size": "2"}, just_started)
    finally:
        publisher.close()
    assert (result.success, result.message) == (True, "applied size")
    assert (node.data / "given").read_text() == "2"
