"""A tool file's steps, read in their order: which names each expression may use, and which it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jinja2 import nodes

from api.tools import CONNECTED, STANDINGS, Connection, Step, Tool, ToolName
from language.expressions import ENVIRONMENT
from language.patterns import pattern as bounded_pattern
from language.quoting import QUOTINGS
from render.lint.expressions import LONGEST_PATTERN, Read, Remark, fields, read, unquoted, words
from render.lint.meaning.conditions import condition, holding, reads, there
from render.lint.meaning.constants import Words, impossible
from render.lint.meaning.scope import Branch, Scope, joined
from render.lint.meaning.unbraced import meant_as_expression
from render.lint.names import Shape
from render.lint.sql import wrong_statements
from render.lint.step_texts import flat, names_of, strings, surely, written_in
from render.lint.tool_files import ToolFile
from render.manifests.node import undo_problem
from render.plugin.problems import Problem, listing, near

Path = tuple[str | int, ...]
_SECRETS = ("secret", "alsoValid")
_QUOTINGS = ", ".join(name for name in QUOTINGS if name != "raw")


def _fails(steps: Iterable[Step]) -> bool:
    """Whether the tool never gets past them."""
    return any(step.fail is not None and not step.optional and not step.on_failure for step in steps)


@dataclass
class Walk:
    """``known``: what the platform gives. ``arguments``: by tool, what ``arg`` has in it. ``any_text``: parameters
    that may be any text. ``roles``: declared. ``words``: what a name can be."""

    file: ToolFile
    known: Mapping[str, Shape]
    arguments: Mapping[str, Shape]
    any_text: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ()
    words: Words = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _asked: dict[str, set[str]] = field(default_factory=dict)
    """By section, the names of it that something uses."""
    _doubtful: set[str] = field(default_factory=set)
    """Sections of which a name is misspelt somewhere: what it should have been would look unused."""
    _given: dict[str, set[str]] = field(default_factory=dict)
    """By sequence, all arguments that some caller gives."""

    def __post_init__(self) -> None:
        box = self.file.box
        self._vars = {name: self._read(("vars", name), str(written), bare=True) for name, written in box.vars.items()}
        self._named = frozenset(name for steps in self._all_steps() for step in flat(steps) for name in names_of(step))
        for steps in self._all_steps():
            for step in flat(steps):
                if step.call is not None:
                    self._given.setdefault(step.call, set()).update(step.with_)

    def run(self) -> list[Problem]:
        box = self.file.box
        self._check_vars()
        for name, connection in box.connections.items():
            self._connection(name, connection)
        for name, sequence in box.sequences.items():
            given = self._given.get(name)
            arguments = dict.fromkeys(given) if given else None
            after = self._steps(
                sequence.steps, ("sequences", name, "steps"), Scope(arg=arguments, what=f"sequence {name}")
            )
            self._texts(sequence.result, ("sequences", name, "result"), after, value=True)
        for name, tool in box.tools.items():
            self._tool(name, tool)
        self._unused()
        return list(dict.fromkeys(self.problems))

    def _all_steps(self) -> Iterator[list[Step]]:
        yield from (each.steps for each in self.file.box.sequences.values())
        for tool in self.file.box.tools.values():
            yield from (each.steps for each in (tool, tool.start, tool.poll, tool.cancel) if each is not None)

    # Named things

    def _check_vars(self) -> None:
        platform = {**self.known, "arg": None, "item": None}
        for name, found in self._vars.items():
            at = ("vars", name)
            if name in self.known:
                self._say(at, f"the platform itself gives {name!r}; choose another name")
            if found.tree is not None:
                self._remarks(at, fields(found.tree, found.names, self.known))
            for unknown in sorted(found.names - set(self._vars) - set(platform) - self._named - {"range"}):
                self._unknown(at, unknown, [*self._vars, *platform, *self._named])
            if name in self._closure(name):
                self._say(at, f"asks for itself; write what {name} is without {name}", word=name)

    def _closure(self, name: str) -> set[str]:
        """All names that a var asks for, those of other vars among them."""
        found: set[str] = set()
        todo = list(self._vars[name].names)
        while todo:
            each = todo.pop()
            if each not in found:
                found.add(each)
                todo += self._vars[each].names if each in self._vars else ()
        return found

    def _connection(self, name: str, connection: Connection) -> None:
        kind = next(kind for kind in CONNECTED if getattr(connection, kind) is not None)
        scope = Scope(what=f"connection {name}", at=True, arg={})
        self._text(getattr(connection, kind), ("connections", name, kind), scope)
        for field_ in ("login", "user", "password", "database"):
            self._texts(getattr(connection, field_), ("connections", name, field_), replace(scope, secrets=True))

    def _tool(self, name: str, tool: Tool) -> None:
        at = ("tools", name)
        own = name not in set(ToolName)
        if own and (hint := near(name, set(ToolName))):
            self._say(at, f"the platform calls no tool {name!r} by itself{hint}", warns=True)
        scope = Scope(arg=None if own else self.arguments.get(name, {}), what=f"tool {name}")
        rendered = {key: shape for key, shape in self.known.items() if key not in ("secret", "alsoValid", "last")}
        self._when_rendered(tool.only, (*at, "only"), rendered)
        if tool.undo is not None:
            self._when_rendered(tool.undo.when, (*at, "undo", "when"), rendered)
            self._undo_time(tool.undo.after, (*at, "undo", "after"), scope)
            if tool.undo.tool in self.file.box.tools or tool.undo.tool not in self.file.names("tools"):
                self._undo(undo_problem(name, self.file.box.tools), (*at, "undo", "tool"), tool.undo.tool)
        after = self._steps(tool.steps, (*at, "steps"), scope)
        self._texts(tool.result, (*at, "result"), after, value=True)
        self._long(tool, at, scope)
        if name in (ToolName.GET_ROLE, ToolName.PRE_START) and isinstance(tool.result, Mapping):
            self._role(tool.result.get("role"), (*at, "result", "role"))

    def _long(self, tool: Tool, at: Path, scope: Scope) -> None:
        """Each part is run by itself, and sees nothing that another has found."""
        for name, part in (("start", tool.start), ("cancel", tool.cancel)):
            if part is not None:
                self._steps(part.steps, (*at, name, "steps"), scope)
        if tool.poll is not None:
            after = self._steps(tool.poll.steps, (*at, "poll", "steps"), scope)
            for name, written in tool.poll.result.model_dump().items():
                self._texts(written, (*at, "poll", "result", name), after)
            self._standing(tool.poll.result.state, (*at, "poll", "result", "state"))

    def _standing(self, written: str, at: Path) -> None:
        found = read(ENVIRONMENT, written, bare=False)
        given = words(found.tree) if found.tree is not None else None
        for state in sorted((given or set()) - {*STANDINGS}):
            hint = near(state, STANDINGS) or f"; it is one of {listing(STANDINGS)}"
            self._say(at, f"gives the state {state!r}, which is none{hint}", word=state)

    def _when_rendered(self, written: str | None, at: Path, known: Mapping[str, Shape]) -> None:
        """``only`` is known when the node is rendered: it sees what templates see."""
        if written is None:
            return
        found = self._read(at, written, bare=True)
        if found.tree is not None:
            self._remarks(at, fields(found.tree, found.names, known))
        for name in sorted(found.names - set(known) - {"range"}):
            hint = near(name, known) or f"; it knows {listing(known)}"
            self._say(at, f"is decided when the node is rendered, and {name!r} is not known then{hint}", word=name)

    def _undo(self, wrong: str, at: Path, name: str) -> None:
        if wrong:
            self._say(at, wrong, word=name)

    def _undo_time(self, written: str, at: Path, scope: Scope) -> None:
        found = self._read(at, written, bare=False)
        for name in sorted(found.names - {"arg"}):
            self._say(at, f"knows arg only, not {name!r}; write a number, or an argument of {scope.what}", word=name)
        if found.tree is not None:
            self._remarks(at, fields(found.tree, found.names, {"arg": scope.arg}))

    def _role(self, written: Any, at: Path) -> None:
        if not isinstance(written, str) or not self.roles:
            return
        found = read(ENVIRONMENT, written, bare=False)
        given = words(found.tree) if found.tree is not None else None
        for role in sorted((given or set()) - {*self.roles, ""}):
            hint = near(role, self.roles) or f"; declared are {listing(self.roles)}"
            self._say(at, f"gives the role {role!r}, which plugin.yaml does not declare{hint}", word=role)

    # Steps

    def _steps(self, steps: Iterable[Step], at: Path, scope: Scope) -> Scope:
        for number, step in enumerate(steps):
            scope = self._step(step, (*at, number), scope)
        return scope

    def _step(self, step: Step, at: Path, scope: Scope) -> Scope:
        asked = self._bare(step.when, (*at, "when"), scope)
        holds, fails = holding(asked), holding(asked, positive=False)
        other = self._steps(step.else_, (*at, "else"), scope.where(fails))
        carried_out = self._carried_out(step, at, scope.where(holds))
        if step.when is None:
            return replace(carried_out, holds=scope.holds | carried_out.holds)
        return joined(
            scope,
            Branch(carried_out, holds, step.when, ends=_fails([step])),
            Branch(other, fails, f"not ({step.when})", ends=_fails(step.else_)),
        )

    def _carried_out(self, step: Step, at: Path, scope: Scope) -> Scope:
        self._bare(step.for_each, (*at, "forEach"), scope)
        self._bare(step.first_of, (*at, "firstOf"), scope)
        loops = step.for_each is not None or step.first_of is not None
        inner = replace(scope, item=scope.item or loops)
        inner = self._action(step, at, inner).knows(*step.as_)
        self._bare(step.expect, (*at, "expect"), inner)
        self._bare(step.until, (*at, "until"), inner)
        if step.otherwise is not None:
            self._text(step.otherwise, (*at, "otherwise"), inner, value=True)
        if step.error is not None:
            self._pattern(step.error, (*at, "error"))
        after = replace(inner, item=scope.item or step.first_of is not None)
        if step.into is not None:
            after = after.knows(step.into)
        if step.optional or step.on_failure:
            after = self._steps(step.on_failure, (*at, "onFailure"), after.knows("error"))
        return after

    def _action(self, step: Step, at: Path, scope: Scope) -> Scope:
        open_scope = replace(scope, secrets=True)
        self._connects(step, at, scope)
        if step.resp is not None:
            self._texts(step.resp, (*at, "resp"), open_scope)
        for kind in ("mysql", "postgresql"):
            if (statements := getattr(step, kind)) is not None:
                self._texts(statements, (*at, kind), scope)
                self._texts(step.args, (*at, "args"), open_scope)
                for place, message, word in wrong_statements(kind, statements, step.args, self._vars):
                    self._say((*at, *place), message, word=word)
        if step.tcp is not None:
            self._text(step.tcp.send, (*at, "tcp", "send"), open_scope, sent=True)
            if step.tcp.end is not None:
                self._pattern(step.tcp.end, (*at, "tcp", "end"))
        if step.http is not None:
            self._text(step.http.path, (*at, "http", "path"), scope)
            self._texts(step.http.headers, (*at, "http", "headers"), open_scope)
            self._text(step.http.body, (*at, "http", "body"), open_scope, sent=True)
        if step.run is not None:
            self._texts(step.run.argv, (*at, "run", "argv"), scope)
            self._texts(step.run.env, (*at, "run", "env"), open_scope)
            self._texts(step.run.stdin, (*at, "run", "stdin"), open_scope)
        if step.write is not None:
            self._text(step.write.path, (*at, "write", "path"), scope)
            self._text(step.write.content, (*at, "write", "content"), open_scope, sent=True)
        for name, written in (step.set or {}).items():
            self._own_name((*at, "set", name), name)
            self._texts(written, (*at, "set", name), scope, value=True)
            scope = scope.knows(name)
        self._texts(step.fail, (*at, "fail"), scope)
        if step.call is not None:
            self._call(step, step.call, at, scope)
        if step.steps is not None:
            scope = self._steps(step.steps, (*at, "steps"), scope)
        for number, name in enumerate([*step.as_, *([step.into] if step.into else [])]):
            self._own_name((*at, "as" if number < len(step.as_) else "into"), name)
        return scope

    def _pattern(self, written: str, at: Path) -> None:
        try:
            bounded_pattern(written)
        except ValueError as error:
            self._say(at, str(error))
        if len(written) > LONGEST_PATTERN:
            message = f"a regular expression of {len(written)} characters; {LONGEST_PATTERN} is the most"
            self._say(at, f"{message} that one can read", warns=True)

    def _own_name(self, at: Path, name: str) -> None:
        if name in self.known or name in ("arg", "item"):
            self._say(at, f"{name!r} is the platform's own name and would hide it; choose another")
        if name.lower() in ("none", "true", "false"):
            self._say(at, f"{name!r} is a value of its own in expressions and would hide it; choose another")
        if name in self._vars:
            self._say(at, f"{name!r} is also one of vars, which it would hide; choose another")

    def _connects(self, step: Step, at: Path, scope: Scope) -> None:
        kind = next((name for name in CONNECTED if getattr(step, name) is not None), None)
        self._texts(step.at, (*at, "at"), scope, value=True)
        connections = self.file.box.connections
        if kind is None:
            for name, given in (("to", step.to), ("at", step.at)):
                if given is not None:
                    self._say((*at, name), f"is for {listing(CONNECTED)}; remove it")
            return
        fitting = {name: each for name, each in connections.items() if getattr(each, kind) is not None}
        name = step.to or next(iter(fitting), "")
        if not name:
            self._say((*at, kind), f"the file has no connection for {kind}; add it to connections")
            return
        self._asked.setdefault("connections", set()).add(name)
        if name not in connections:
            if name not in self.file.names("connections"):
                self._missing((*at, "to"), "connection", name, self.file.names("connections"))
            return
        if name not in fitting:
            self._doubtful.add("connections")
            self._say((*at, "to"), f"connection {name!r} is not for {kind}; there are {listing(fitting)}", word=name)
            return
        takes_at = "at" in read(ENVIRONMENT, str(getattr(connections[name], kind)), bare=False).names
        if takes_at and step.at is None:
            self._say((*at, kind), f"connection {name!r} needs at:, which its address asks for")
        if not takes_at and step.at is not None:
            self._doubtful.add("connections")
            others = [each for each, given in fitting.items() if "at" in str(getattr(given, kind))]
            hint = f"; write to: {' or '.join(others)}" if others else ""
            self._say((*at, "at"), f"connection {name!r} has a fixed address, so this would ask the same node{hint}")

    def _call(self, step: Step, name: str, at: Path, scope: Scope) -> None:
        self._texts(step.with_, (*at, "with"), scope, value=True)
        self._asked.setdefault("sequences", set()).add(name)
        sequence = self.file.box.sequences.get(name)
        if sequence is None:
            if name not in self.file.names("sequences"):
                self._missing((*at, "call"), "sequence", name, self.file.names("sequences"))
            return
        missing = sorted(self._needed(name) - set(step.with_))
        if missing:
            given = ", ".join(f"{each}: …" for each in missing)
            self._say(
                (*at, "call"), f"{name} uses arg.{missing[0]}, which is not given; write with: {{{given}}}", word=name
            )

    def _needed(self, name: str) -> set[str]:
        """Arguments that a sequence uses, by itself or by vars, and not only to ask whether they are there."""
        sequence = self.file.box.sequences[name]
        texts = [(text, bare) for step in flat(sequence.steps) for text, bare in written_in(step)]
        texts += [(text, False) for text in strings(sequence.result)]
        trees, asked = [], set[str]()
        for text, bare in texts:
            found = read(ENVIRONMENT, text, bare=bare)
            asked |= found.names
            trees += [found.tree] if found.tree is not None else []
        for each in asked & set(self._vars):
            for var in ({each} | self._closure(each)) & set(self._vars):
                tree = self._vars[var].tree
                trees += [tree] if tree is not None else []
        return {chain[1] for tree in trees for chain in surely(tree) if chain[0] == "arg" and len(chain) > 1}

    # Expressions

    def _bare(self, written: str | None, at: Path, scope: Scope) -> nodes.Node | None:
        """What was read, where it can be."""
        return condition(self._expression(written, at, scope, bare=True).tree) if written is not None else None

    def _texts(self, written: Any, at: Path, scope: Scope, *, value: bool = False) -> None:
        """``value``: an expression is what mostly stands there."""
        if isinstance(written, str):
            self._text(written, at, scope, value=value)
        elif isinstance(written, Mapping):
            for key, each in written.items():
                self._texts(each, (*at, str(key)), scope, value=value)
        elif isinstance(written, list | tuple):
            for number, each in enumerate(written):
                self._texts(each, (*at, number), scope, value=value)

    def _text(self, written: str, at: Path, scope: Scope, *, sent: bool = False, value: bool = False) -> None:
        """``sent``: an engine, or the reader of a file, takes it apart."""
        if written not in self.roles and self._meant(written, scope, value=value):
            advice = f'write "{{{{ {written} }}}}", or "{{{{ {written!r} }}}}" for the letters themselves'
            self._say(at, f"is a text, not the value of {written}, which is known here; {advice}")
        found = self._expression(written, at, scope, bare=False)
        if not sent or found.tree is None:
            return
        for chain, _ in unquoted(found.tree, self._somebodys_own):
            what = "an own password" if chain[0] in _SECRETS else "the parameter"
            name = ".".join(chain)
            message = f"{name} stands as it is, and {what} may have spaces, quotes or a # in it; write for example"
            self._say(
                at,
                f"{message} {{{{ {name} | quoted }}}} ({_QUOTINGS}; raw where nothing has to be quoted)",
                word=chain[1],
            )

    def _meant(self, written: str, scope: Scope, *, value: bool) -> bool:
        steps = scope.found | set(self._vars) | ({"item"} if scope.item else set())
        steps |= {"arg"} if scope.arg is None or scope.arg else set()
        return meant_as_expression(written, steps, set(self.known), value=value)

    def _somebodys_own(self, chain: list[str]) -> bool:
        return len(chain) > 1 and (chain[0] in _SECRETS or (chain[0] == "config" and chain[1] in self.any_text))

    def _expression(self, written: str, at: Path, scope: Scope, *, bare: bool) -> Read:
        found = self._read(at, written, bare=bare)
        if found.tree is None:
            return found
        seen = {**self.known, **({"arg": scope.arg} if scope.arg is not None else {})}
        local = found.names - scope.found
        self._remarks(at, fields(found.tree, frozenset(local - {"arg"} if not scope.arg else local), seen))
        for name in sorted(local):
            self._name(name, at, scope)
        self._sometimes(found.tree, at, scope)
        return found

    def _sometimes(self, tree: nodes.Template, at: Path, scope: Scope) -> None:
        """Names that a step before may have left out."""
        for name, var in (self._read_names(tree, scope) if scope.sometimes else {}).items():
            written = " or ".join(dict.fromkeys(each.written for each in scope.sometimes[name]))
            said = f"vars.{var} asks for {name!r}, which" if var else f"{name!r}"
            advice = f"ask {name} is defined first, write {name} | default(…), or set it in else"
            self._say(at, f"{said} is there only where this holds: {written}; {advice}", word=var or name)

    def _read_names(self, tree: nodes.Template, scope: Scope) -> dict[str, str]:
        """Those that may be missing, each with the var by which it is read, or nothing."""
        found: dict[str, str] = {}
        todo, seen = [(tree, scope.holds, "")], set[str]()
        while todo:
            current, holds, var = todo.pop()
            for name, held in reads(current, holds):
                inner = self._vars[name].tree if name in self._vars else None
                if inner is not None and name not in seen:
                    seen.add(name)
                    todo.append((inner, held, var or name))
                elif name not in self._vars and not there(name, held, scope.sometimes):
                    found.setdefault(name, var)
        return found

    def _name(self, name: str, at: Path, scope: Scope) -> None:
        if name in self._vars:
            self._asked.setdefault("vars", set()).add(name)
            missing = sorted(each for each in self._closure(name) if not self._there(each, scope))
            missing = [each for each in missing if each in self._named or each in ("arg", "item", *_SECRETS)]
            if missing:
                self._say(
                    at,
                    f"vars.{name} asks for {missing[0]!r}, which is not known here; {self._why(missing[0], scope)}",
                    word=name,
                )
        elif not self._there(name, scope):
            if name in _SECRETS or name in ("arg", "item", "at") or name in self._named:
                self._say(at, f"{name!r} is not known here: {self._why(name, scope)}", word=name)
            else:
                self._unknown(at, name, [*self.known, *self._vars, *scope.found, *(["item"] if scope.item else [])])

    def _there(self, name: str, scope: Scope) -> bool:
        if name in scope.found or name in self._vars or name == "range":
            return True
        if name in _SECRETS:
            return scope.secrets
        if name == "arg":
            return scope.arg is None or bool(scope.arg)
        return (name == "item" and scope.item) or (name == "at" and scope.at) or name in self.known

    def _why(self, name: str, scope: Scope) -> str:
        if name in _SECRETS:
            return "a secret must not reach a command line or a log; write it in resp, args, content, or in env of run"
        if name == "arg":
            return f"nobody gives {scope.what} arguments"
        if name == "item":
            return "it is known in a step with forEach or firstOf, whose own when is looked at before its first item"
        if name == "at":
            return "only the address of a connection knows it"
        return f"no step before this one in {scope.what} names it; write as: {name} in the step that finds it"

    def _unknown(self, at: Path, name: str, known: Iterable[str]) -> None:
        self._doubtful.add("vars")
        hint = near(name, known) or "; it is given neither by the platform nor by vars, as, into or set"
        self._say(at, f"nothing is called {name!r} here{hint}", word=name)

    def _unused(self) -> None:
        box = self.file.box
        asked = {**self._asked, "vars": self._used_vars()}
        for section, what in (
            ("sequences", "called by no step"),
            ("vars", "used by no expression"),
            ("connections", "used by no step"),
        ):
            for name in getattr(box, section):
                if name not in asked.get(section, ()) and section not in self._doubtful and self.file.whole:
                    self._say((section, name), f"{what}; remove it")

    def _used_vars(self) -> set[str]:
        used = self._asked.get("vars", set())
        return used.union(*(self._closure(name) for name in used))

    def _read(self, at: Path, written: str, *, bare: bool) -> Read:
        found = read(ENVIRONMENT, written, bare=bare)
        self._remarks(at, found.remarks)
        if found.tree is not None:
            self._remarks(at, impossible(found.tree, self.words))
        if found.tree is not None and any(not isinstance(part, nodes.Output) for part in found.tree.body):
            self._say(
                at, "only expressions in {{ }} may stand here, no statements; use when, else and forEach of steps"
            )
        return found

    def _remarks(self, at: Path, remarks: Iterable[Remark]) -> None:
        for remark in remarks:
            self._say(at, remark.message, word=remark.word, warns=remark.warns)

    def _missing(self, at: Path, kind: str, name: str, there: Iterable[str]) -> None:
        hint = near(name, there) or f"; there are {listing(there)}"
        self._doubtful.add(f"{kind}s")
        self._say(at, f"there is no {kind} {name!r}{hint}", word=name)

    def _say(self, at: Path, message: str, *, word: str = "", warns: bool = False) -> None:
        self.problems.append(self.file.problem(at, message, word=word, warns=warns))
