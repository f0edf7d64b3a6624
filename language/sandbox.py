"""Jinja2 in bounds, the same for the platform's templates and the agents' expressions.

A plugin is data from somebody else. What it asks for must not reach Python's internals, and one expression must
neither fill the memory nor keep an agent, which has one thread, from all else. So whatever makes a value larger than
what it is made of asks here first: operators, concatenation, ``range``, methods of texts, and filters.
``language.patterns`` is for regular expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import wraps
from typing import Any, Literal

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import TemplateRuntimeError
from jinja2.filters import do_round
from jinja2.meta import TrackingCodeGenerator
from jinja2.runtime import Context, LoopContext, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST_TEXT = 1024 * 1024
"""Characters of a text that an expression makes."""
LARGEST_LIST = 100_000
"""Items of a list that an expression makes, those of the lists in it among them, and of all ``range`` calls of one
rendering."""
LARGEST_NUMBER = 4096
"""Bits."""
MOST_WORK = 1_000_000
"""Turns of loops and calls of one rendering, or of one expression with its vars: some seconds. No plugin has needed a
hundredth."""
_SEARCHED, _MADE = 32, 64
"""Items that are looked at, and characters that are made, while a loop turns once."""
_CALLED = 20
"""Turns of a loop that take as long as a call."""
_MOST_DIGITS = 20
_METHODS = frozenset(
    (
        "capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdecimal", "isdigit", "islower",
        "isspace", "isupper", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rfind", "rpartition",
        "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper",
    )
)  # fmt: skip
"""Of texts: those whose result is no longer than the text."""
_UNBOUNDED = ("center", "format", "indent", "pprint", "random", "slice", "urlize", "wordwrap", "xmlattr")
"""Jinja2's filters that give a text or a list of any length; no plugin has missed them."""


class BoundError(TemplateRuntimeError):
    """A sentence: what asks for too much."""


_left: ContextVar[list[int] | None] = ContextVar("work", default=None)


@contextmanager
def bounded_work() -> Iterator[None]:
    """What is evaluated within shares one bound of work: an expression with all vars that it asks for, a file with all
    that it includes."""
    begun = begin_work()
    try:
        yield
    finally:
        end_work(begun)


def begin_work() -> Token[list[int] | None] | None:
    """As ``bounded_work``, for what is evaluated at each poll. None where a bound holds already."""
    return None if _left.get() is not None else _left.set([MOST_WORK])


def end_work(begun: Token[list[int] | None] | None) -> None:
    if begun is not None:
        _left.reset(begun)


def spend(work: int) -> None:
    """Raises BoundError where it is too much."""
    left = _left.get()
    if left is not None:
        left[0] -= work
        if left[0] < 0:
            raise BoundError(
                f"it takes more than {MOST_WORK} turns of loops and calls, or as much work on lists and texts"
            )


def _searched(value: Any) -> Any:
    """Before something is looked for in it."""
    spend(1 + (len(value) // _SEARCHED if isinstance(value, str | list | tuple) else 0))
    return value


def _turns(values: Iterable[Any]) -> Iterator[Any]:
    for each in values:
        spend(1)
        yield each


class _Generator(CodeGenerator):
    """``a ~ b`` asks the environment, as the operators do that a sandbox may intercept. And nothing is evaluated when
    it is compiled: what is kept compiled is then no larger than what was written."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802
        turns = nodes.EnvironmentAttribute("turns", lineno=node.lineno)
        node.iter = nodes.Call(turns, [node.iter], [], None, None, lineno=node.lineno)
        super().visit_For(node, frame)

    def visit_Include(self, node: nodes.Include, frame: Frame) -> None:  # noqa: N802
        self.writeline("environment.turn()", node)
        super().visit_Include(node, frame)

    def visit_Operand(self, node: nodes.Operand, frame: Frame) -> None:  # noqa: N802
        if node.op not in ("in", "notin"):
            super().visit_Operand(node, frame)
            return
        self.write(f" {'in' if node.op == 'in' else 'not in'} environment.searched(")
        self.visit(node.expr, frame)
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("environment.joined((")
        for each in node.nodes:
            self.visit(each, frame)
            self.write(", ")
        self.write("))")


class _Names(TrackingCodeGenerator):
    """Jinja2's own evaluates what is constant, as its compiler does, whatever that takes."""

    _output_child_to_const = _Generator._output_child_to_const


def asked_names(parsed: nodes.Template) -> frozenset[str]:
    """The names that it asks for and does not set. Nothing in it is evaluated."""
    assert parsed.environment is not None
    tracking = _Names(parsed.environment)
    tracking.optimizer = None  # it would put the values of constants into the tree
    tracking.visit(parsed)
    return frozenset(tracking.undeclared_identifiers)


class Sandbox(ImmutableSandboxedEnvironment):
    """Of strict names: an unknown name fails."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, **options: Any) -> None:
        super().__init__(
            undefined=StrictUndefined, autoescape=False, optimized=False, keep_trailing_newline=True, **options
        )
        for name in ("lipsum", "cycler", "joiner"):
            self.globals.pop(name, None)
        for name in _UNBOUNDED:
            self.filters.pop(name, None)
        self.filters |= {name: _of_small(self.filters[name]) for name in ("join", "replace", "string", "tojson")}
        self.tests["in"] = _in
        self.filters |= {"round": _rounded, "sum": _summed(_of_small(self.filters["sum"]))}

    def wrap_str_format(self, value: Any) -> None:
        """A format may ask for any width: ``format`` of a text is refused like any other of its methods."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str | bytes) and attr not in _METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise BoundError("texts are put together by ~, not by %")
        if operator == "+":
            small(left, right)
        elif operator == "**":
            _check_power(left, right)
        elif operator == "*":
            _check_product(left, right)
        return super().call_binop(context, operator, left, right)

    searched = staticmethod(_searched)
    turns = staticmethod(_turns)

    def turn(self) -> None:
        """Of an ``include``: a file that includes itself is deep, and one that does so twice has no end."""
        spend(_CALLED)

    def call(__self, __context: Context, __obj: Any, *arguments: Any, **named: Any) -> Any:  # noqa: N805
        """Macros among them. A recursive loop is given its next items by a call."""
        inner = len(arguments[0]) if isinstance(__obj, LoopContext) and isinstance(arguments[0], Sized) else 0
        spend(_CALLED * (1 + inner))
        return super().call(__context, __obj, *arguments, **named)

    def joined(self, values: tuple[Any, ...]) -> str:
        """``a ~ b``. Raises BoundError."""
        return "".join(map(str, small(*values)))


def _in(value: Any, among: Any) -> bool:
    return value in _searched(among)


def _check_power(left: Any, right: Any) -> None:
    whole = isinstance(left, int) and isinstance(right, int)
    if whole and right > 0 and left.bit_length() * right > LARGEST_NUMBER:
        raise BoundError(f"{left} ** {right} is a number of more than {LARGEST_NUMBER} bits")


def _check_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > LARGEST_NUMBER:
            raise BoundError(f"a product has more than {LARGEST_NUMBER} bits")
        return
    for sized, times in ((left, right), (right, left)):
        if not isinstance(sized, str | bytes | list | tuple) or not isinstance(times, int):
            continue
        most = LARGEST_TEXT if isinstance(sized, str | bytes) else LARGEST_LIST
        if len(sized) * times > most:
            raise BoundError(f"a repetition gives more than {most} items")
        small(*[sized] * min(times, 2))


def _of_small(own: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, of values that are small together, also where it puts a text in at every place of another."""

    @wraps(own)  # which also keeps what Jinja2 notes on a filter: that it is given the environment
    def bounded(*arguments: Any, **named: Any) -> Any:
        # Generators, which map and select give, are written out: else counting would use them up.
        written = [list(each) if isinstance(each, Iterator) else each for each in arguments]
        _check_growth([each for each in (*written, *named.values()) if _is_data(each)])
        made = own(*written, **named)
        spend(1 + (len(made) // _MADE if isinstance(made, str) else 0))
        return made

    return bounded


def _rounded(value: Any, precision: int = 0, method: Literal["common", "ceil", "floor"] = "common") -> float:
    """Jinja2's own computes ten to the power of the precision."""
    if abs(precision) > _MOST_DIGITS:
        raise BoundError(f"round is to {_MOST_DIGITS} digits at most, not {str(precision)[:20]}")
    return do_round(value, precision, method)


def _summed(own: Callable[..., Any]) -> Callable[..., Any]:
    """Lists that are added to each other are copied at each."""

    @wraps(own)
    def of_numbers(environment: Any, iterable: Any, attribute: str | int | None = None, start: int | float = 0) -> Any:
        if not isinstance(start, int | float):
            raise BoundError("sum is of numbers")
        return own(environment, iterable, attribute, start)

    return of_numbers


def _is_data(value: Any) -> bool:
    return isinstance(value, str | bytes | list | tuple | set | Mapping)


def _check_growth(values: list[Any]) -> None:
    """What is put in at each place of the first is at most the longest text of the others."""
    small(*values)
    if len(values) > 1 and any(isinstance(each, str) for each in values[1:]):
        places = len(values[0]) + 1
        put = max(len(each) for each in values[1:] if isinstance(each, str))
        if places * put > LARGEST_TEXT:
            raise BoundError(f"it may give a text of more than {LARGEST_TEXT} characters")


def small(*values: Any) -> tuple[Any, ...]:
    """``values``, where all of them together are a text and lists in bounds. A list that holds the same list again and
    again is as large as it would be written out. Raises BoundError."""
    texts = items = 0
    waiting: list[Iterable[Any]] = [values]
    while waiting:
        for value in waiting.pop():
            kind = type(value)
            if kind is str:
                texts += len(value)
            elif kind is int or kind is float or kind is bool or value is None:
                continue  # most of what an engine answers: this runs for each value of each poll
            elif isinstance(value, list | tuple | set | Mapping):
                items += len(value)
                if items > LARGEST_LIST:
                    raise BoundError(f"lists of more than {LARGEST_LIST} items")
                waiting.append(value.values() if isinstance(value, Mapping) else value)
            elif isinstance(value, str | bytes):
                texts += len(value)
    if texts > LARGEST_TEXT:
        raise BoundError(f"a text of more than {LARGEST_TEXT} characters")
    return values


def bounded_range() -> Callable[..., range]:
    """For one rendering."""
    left = LARGEST_LIST

    def bounded(*arguments: int) -> range:
        nonlocal left
        numbers = range(*arguments)
        left -= min(len(numbers), LARGEST_LIST + 1) if len(arguments) else 0
        if left < 0:
            raise BoundError(f"range asks for more than {LARGEST_LIST} items")
        return numbers

    return bounded
