"""The example of the guide does what it says."""

from __future__ import annotations

import pytest

from agent.decoding import decode
from agent.document import Toolbox
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from api.tools import Toolbox as WrittenToolbox
from render.plugin.yaml_text import load_yaml
from tests.unit.agent.support import written
from tests.unit.agent.tooling.peers import interpreter
from tests.unit.agent.tooling.sql.databases import PASSWORD, Database
from tests.unit.plugins.support import PLUGINS

__all__ = ["interpreter"]


async def test_the_guides_postgresql_tools_run(interpreter: Interpreter, postgresql: Database) -> None:
    (interpreter.settings.secrets_dir / "password").write_text(PASSWORD)
    guide = (PLUGINS.parent / "docs" / "plugin-format.md").read_text()
    example = load_yaml(guide.partition("### SQL\n```yaml\n")[2].partition("```")[0])
    WrittenToolbox.model_validate(example)
    example["connections"]["me"]["postgresql"] = postgresql.socket
    box = decode(Toolbox, written(example), "the guide")
    role = await interpreter.run("getRole", box, {})
    assert role.values["role"] == "primary"
    assert int(role.values["position"]) > 0
    with pytest.raises(ToolError, match='role "admin" does not exist'):
        await interpreter.run("useCredentials", box, {})
