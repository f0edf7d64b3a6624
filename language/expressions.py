"""The one expression language of a plugin, Jinja2's, as the agent evaluates it at the moment of use.

Three shapes, told apart by the field and never by guessing: a *condition* (``when: info.role == 'master'``) and an
*expression* (``forEach: peers``) are bare; a *text* holds expressions in braces (``"{{ node.address }}:6379"``) and
is a value of its own type where it is one expression and nothing else: ``"{{ info.offset }}"`` is a number.

Names are strict: an unknown one fails with that name. Nothing can be called that Python offers: Jinja2's sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

from jinja2 import nodes
from jinja2.environment import Template
from jinja2.exceptions import TemplateError, TemplateSyntaxError
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, StrictUndefined, Undefined

from language.filters import FILTERS, TESTS, word
from language.sandbox import LARGEST_LIST, Sandbox, asked_names, begin_work, bounded_range, end_work, small

_BRACES = "{{"
_RETURN = "\ue002"
"""Stands for a carriage return while a text is read."""
_KEPT = 512
"""Compiled expressions that are kept, of each shape: more than a node's tools have. Compiling takes 0.8 ms, evaluating
0.02; one of usual length takes 6 KiB."""
_LONGEST_KEPT = 2048
"""Characters of the longest that is kept."""
_LONGEST = 64 * 1024
_TOO_DEEP = (RecursionError, SyntaxError, MemoryError)
"""As Python's own compiler says it of what Jinja2 has made of an expression: of 300 operands, for example."""


class ExpressionError(Exception):
    """A sentence: the expression, and what is wrong with it."""


class EndlessError(ExpressionError):
    """A name asks for itself."""


class Names(Protocol):
    """Where an expression finds what it asks for. ``get`` raises ExpressionError where a name may not be used here, or
    has no value now."""

    def __contains__(self, name: object) -> bool: ...

    def get(self, name: str) -> Any: ...


class _Environment(Sandbox):
    """A field of an answer is its field, also where Python's dictionary has a method of that name: ``info.items``."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _environment() -> _Environment:
    made = _Environment(finalize=_written)
    made.filters = {name: made.filters[name] for name in _JINJA_FILTERS} | dict(FILTERS)
    made.tests = {name: made.tests[name] for name in _JINJA_TESTS} | dict(TESTS)
    made.globals = {}
    return made


def _written(value: Any) -> Any:
    """A value as it stands in a text; an unknown one fails there by itself."""
    return value if isinstance(value, Undefined) else word(*small(value))


_JINJA_FILTERS = (
    "abs", "default", "first", "float", "groupby", "int", "items", "join", "last", "length", "list", "lower", "map",
    "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "select", "selectattr", "sort", "string",
    "sum", "trim", "unique", "upper", "urlencode",
)  # fmt: skip
_JINJA_TESTS = (
    "defined", "undefined", "none", "number", "string", "mapping", "sequence", "true", "false", "odd", "even",
    "divisibleby", "in", "eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan",
    ">", "ge", ">=",
)  # fmt: skip
ENVIRONMENT = _environment()
"""In which agents evaluate; the lint of plugins reads by it."""
_SCALARS = (bool, int, float, type(None))


class _Context(Context):
    """Jinja2's own is made for templates, with blocks and globals: to make it costs more than most expressions."""

    _NO_ESCAPING = EvalContext(ENVIRONMENT)

    def __init__(self, given: dict[str, Any]) -> None:
        self.environment, self.eval_ctx = ENVIRONMENT, self._NO_ESCAPING
        self.parent, self.vars = given, {}
        self.exported_vars, self.blocks, self.name = set(), {}, None


def _value_of(template: Template) -> Callable[[dict[str, Any]], Any]:
    """As ``compile_expression`` has it: an expression's template leaves the value behind by the name ``result``."""
    root = template.root_render_func

    def evaluate(given: dict[str, Any]) -> Any:
        context = _Context(given)
        for _ in root(context):
            pass
        return context.vars["result"]

    return evaluate


def _text_of(template: Template) -> Callable[[dict[str, Any]], str]:
    root = template.root_render_func
    return lambda given: "".join(root(_Context(given)))


@dataclass(frozen=True)
class Expression:
    """Compiled. ``source`` is as it was written; ``uses``: the names that it asks for."""

    source: str
    uses: frozenset[str]
    _evaluate: Callable[..., Any]

    def __call__(self, names: Names) -> Any:
        """Raises ExpressionError."""
        begun = begin_work()
        try:
            given = _given(self.uses, names)
            if "range" in self.uses and "range" not in given:
                given["range"] = bounded_range()
            found = self._evaluate(given)
            if isinstance(found, Undefined):
                found._fail_with_undefined_error()  # otherwise only its first use would
            if isinstance(found, Iterator):
                found = list(islice(found, LARGEST_LIST + 1))
            if type(found) not in _SCALARS:
                small(found)
        except (
            TemplateError,
            TypeError,
            ValueError,
            ArithmeticError,
            LookupError,
            AttributeError,
            RecursionError,
        ) as error:
            raise ExpressionError(f"{self.source}: {error}") from error
        finally:
            end_work(begun)
        return found


def _given(uses: frozenset[str], names: Names) -> dict[str, Any]:
    """A name without a value fails where it is used, and not in ``found is defined and late`` before that. Raises
    EndlessError."""
    given: dict[str, Any] = {}
    for name in uses:
        if name in names:
            try:
                given[name] = names.get(name)
            except EndlessError:
                raise
            except ExpressionError as error:
                given[name] = StrictUndefined(hint=str(error), name=name)
    return given


def expression(source: str) -> Expression:
    """Of a bare one. Raises ExpressionError where it is none."""
    return _expression(source) if len(source) <= _LONGEST_KEPT else _expression.__wrapped__(_short(source))


@lru_cache(maxsize=_KEPT)
def _expression(source: str) -> Expression:
    try:
        uses = asked_names(ENVIRONMENT.parse("{{" + source + "}}"))
        compiled = ENVIRONMENT.compile_expression(source, undefined_to_none=False)
        return Expression(source, uses, _value_of(compiled._template))
    except TemplateSyntaxError as error:
        raise ExpressionError(f"{source}: {error.message}") from error
    except _TOO_DEEP as error:
        raise ExpressionError(f"{source[:80]}: it is nested too deep") from error


def text(source: str) -> Expression:
    """Of a text with expressions in braces, or none. Raises ExpressionError."""
    if _BRACES not in source and "{%" not in source and "{#" not in source:
        return Expression(source, frozenset(), lambda _: source)
    return _text(source) if len(source) <= _LONGEST_KEPT else _text.__wrapped__(_short(source))


@lru_cache(maxsize=_KEPT)
def _text(source: str) -> Expression:
    if "\r" in source:  # Jinja2 would make a plain line end of it, and many a protocol wants the whole
        kept = _text(source.replace("\r", _RETURN))
        return Expression(source, kept.uses, lambda given: _with_returns(kept._evaluate(given)))
    try:
        parsed = ENVIRONMENT.parse(source)
        uses, parts = asked_names(parsed), parsed.body
        if any(not isinstance(part, nodes.Output) for part in parts):
            raise ExpressionError(f"{source}: only expressions in {{{{ }}}} may stand here, no statements")
        output = [each for part in parts for each in part.nodes]  # type: ignore[attr-defined]
        if len(output) == 1 and not isinstance(output[0], nodes.TemplateData):
            alone = nodes.Assign(nodes.Name("result", "store"), output[0], lineno=1)
            inner = ENVIRONMENT.from_string(nodes.Template([alone], lineno=1))
            return Expression(source, uses, _value_of(inner))
        template = ENVIRONMENT.from_string(source)
    except TemplateSyntaxError as error:
        raise ExpressionError(f"{source}: {error.message}") from error
    except _TOO_DEEP as error:
        raise ExpressionError(f"{source[:80]}: it is nested too deep") from error
    return Expression(source, uses, _text_of(template))


def _with_returns(value: Any) -> Any:
    return value.replace(_RETURN, "\r") if isinstance(value, str) else value


def _short(source: str) -> str:
    if len(source) > _LONGEST:
        raise ExpressionError(f"{source[:80]} ...: {len(source)} characters; {_LONGEST} is the most")
    return source


def filled(value: Any, names: Names) -> Any:
    """``value`` as it was written in YAML, with every text in it evaluated, keys as they are. Raises
    ExpressionError."""
    if isinstance(value, str):
        return text(value)(names) if "{" in value else value
    if isinstance(value, Mapping):
        return {key: filled(each, names) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [filled(each, names) for each in value]
    return value
