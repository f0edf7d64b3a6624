"""Parameters that an App may set, and by which nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import jinja2
from jinja2 import nodes

from api.plugin import ComponentDefinition
from api.tools import ToolName
from language.expressions import ENVIRONMENT
from render.lint.expressions import chain_of, read
from render.lint.step_texts import strings
from render.lint.tool_files import ToolFile
from render.plugin.bundle import PluginBundle
from render.plugin.problems import Problem, in_file, near

_WHOLE = ("items", "keys", "values", "get")


def parameter_problems(bundle: PluginBundle, component: ComponentDefinition, tools: ToolFile) -> Iterator[Problem]:
    parameters = bundle.parameters.get(component.name, {})
    asked = _Asked(bundle)
    for each in component.files:
        asked.template(each.template)
    asked.texts([*component.process.command, *component.process.env.values()])
    asked.texts(strings(tools.box.model_dump(by_alias=True)))
    reload = tools.box.tools.get(ToolName.RELOAD_CONFIG)
    # Where somebody asks for what there is not, the parameter that was meant would look unread.
    doubtful = asked.all or bool(asked.names - set(parameters))
    handed_over = asked.handed_over(reload.model_dump(by_alias=True)) if reload is not None else set()
    for name, parameter in parameters.items():
        file, _ = bundle.place_of(component, name)
        if parameter.apply == "dynamic" and ToolName.RELOAD_CONFIG not in tools.names("tools") and tools.whole:
            message = (
                "dynamic, but no tool reloadConfig hands it to the running engine; write the tool, or apply: restart"
            )
            advice = "right only where the engine reads its file anew by itself"
            yield in_file(file, bundle.files[file], (name, "apply"), f"{message} ({advice})", warns=True)
        if doubtful or name in asked.names or not tools.whole:
            continue
        if parameter.apply == "dynamic" and (handed_over is None or name in handed_over):
            continue
        message = f"no template, command or tool of {component.name} reads config.{name}: an App that sets it changes"
        yield in_file(file, bundle.files[file], (name,), f"{message} nothing; use it, or remove it")


@dataclass
class _Asked:
    """``names``: parameters that somebody reads. ``all``: whoever reads them by no name may read each."""

    bundle: PluginBundle
    names: set[str] = field(default_factory=set)
    all: bool = False
    _seen: set[str] = field(default_factory=set)

    def template(self, file: str) -> None:
        """And those that it includes."""
        if file in self._seen:
            return
        self._seen.add(file)
        text = self.bundle.files.get(file)
        tree = None if text is None else _tree(self.bundle.templates.environment, text, bare=False)
        if tree is None:  # of which somebody else tells
            self.all = True
            return
        self._of(tree)
        names = {each.name for each in tree.find_all(nodes.Name)} - {"config"}
        self.all = self.all or any(near(name, ["config"]) for name in names)
        for each in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            named = each.template  # type: ignore[attr-defined]
            if isinstance(named, nodes.Const):
                self.template(str(named.value))
            else:
                self.all = True

    def texts(self, written: Iterator[str] | list[str]) -> None:
        for each in written:
            if "config" in each:
                tree = _tree(ENVIRONMENT, each, bare="{{" not in each)
                if tree is not None:
                    self._of(tree)

    def handed_over(self, reload: object) -> set[str] | None:
        """Parameters that ``reloadConfig`` takes from its arguments; None where it may take all."""
        found: set[str] = set()
        for each in strings(reload):
            tree = _tree(ENVIRONMENT, each, bare="{{" not in each)
            for name in _parts(tree, "arg") if tree is not None else ():
                if name is None:
                    return None
                found.add(name)
        return found

    def _of(self, tree: nodes.Node) -> None:
        for name in _parts(tree, "config"):
            if name is None:
                self.all = True
            else:
                self.names.add(name)


def _tree(environment: jinja2.Environment, text: str, *, bare: bool) -> nodes.Template | None:
    return read(environment, text, bare=bare).tree


def _parts(node: nodes.Node, of: str) -> Iterator[str | None]:
    """Which entries of ``of`` are read; None: whichever."""
    chain = chain_of(node) if isinstance(node, nodes.Getattr | nodes.Getitem) else None
    if chain is not None and chain[0] == of:
        yield None if chain[1] in _WHOLE else chain[1]
    elif isinstance(node, nodes.Name) and node.name == of:
        yield None
    else:
        for each in node.iter_child_nodes():
            yield from _parts(each, of)
