"""Jinja2 for plugins: sandboxed, strict about undefined names, bounded in work and output (``language.sandbox``).

A plugin is data from somebody else. Its templates see only plain values, cannot reach Python's internals or change
what they are given, and can neither loop for ever nor fill the memory. Every failure names plugin, file, line and
variable.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from language.expressions import ENVIRONMENT as AGENT
from language.filters import FILTERS, TESTS
from language.quoting import QUOTINGS
from language.sandbox import Sandbox, bounded_range, bounded_work
from render.plugin.at_start import NAME, AtStart, deferring, undecided
from render.plugin.byte_sizes import in_bytes

OUTPUT_LIMIT = 512 * 1024
"""Characters of one rendered file: half of what a ConfigMap holds."""


class TemplateFailure(Exception):  # noqa: N818 - the name says whose failure it is
    """A template that cannot be rendered; its text is a sentence. ``line`` is 0 where none is known."""

    def __init__(self, plugin: str, file: str, line: int, message: str) -> None:
        self.plugin = plugin
        self.file = file
        self.line = line
        self.message = message
        where = f"line {line}: " if line else ""
        super().__init__(f"plugin {plugin}, {file}, {where}{message}")


def _yesno(value: Any) -> Any:
    """``yes`` or ``no`` for a boolean, anything else unchanged: how most configuration files write a switch."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value


def _of_text(quoting: Callable[[str], str]) -> Callable[[Any], str]:
    return lambda value: quoting(str(_yesno(value)))


class Templates:
    """The templates of one plugin version. ``plugin`` is what failures call it, ``files`` its files by relative
    path."""

    def __init__(self, plugin: str, files: Mapping[str, str]) -> None:
        self._plugin = plugin
        self._files = files
        self.loaded: set[str] = set()
        """Files that were rendered, included or imported so far."""
        self._environment = Sandbox(loader=jinja2.FunctionLoader(self._load), trim_blocks=True, lstrip_blocks=True)
        tests: dict[str, Any] = {**self._environment.tests, **TESTS}
        self._environment.tests = {name: undecided(each) for name, each in tests.items()}
        own = {**FILTERS, **{name: _of_text(quoting) for name, quoting in QUOTINGS.items() if name != "json"}}
        filters = {**self._environment.filters, **own, "yesno": _yesno, "bytes": in_bytes}
        self._environment.filters = {
            name: deferring(name, each, known=name in AGENT.filters) for name, each in filters.items()
        }
        self._environment.globals[NAME] = AtStart()

    def _load(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        source = self._files.get(name)
        self.loaded.add(name)
        return None if source is None else (source, name, lambda: True)

    @property
    def environment(self) -> jinja2.Environment:
        """For whoever reads a template without rendering it."""
        return self._environment

    @bounded_work()
    def render(self, file: str, context: Mapping[str, Any]) -> str:
        """The rendered text of ``file``. Raises TemplateFailure."""
        try:
            template = self._environment.get_template(file)
            pieces: list[str] = []
            size = 0
            for piece in template.generate({**context, "range": bounded_range()}):
                size += len(piece)
                if size > OUTPUT_LIMIT:
                    raise jinja2.TemplateRuntimeError(f"the result is longer than {OUTPUT_LIMIT} characters")
                pieces.append(piece)
            return "".join(pieces)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateFailure(
                self._plugin, error.name or file, error.lineno, error.message or str(error)
            ) from error
        except jinja2.TemplateNotFound as error:
            raise TemplateFailure(self._plugin, file, 0, f"the plugin has no file {error.name!r}") from error
        except Exception as error:
            name, line = self._place(error, file)
            raise TemplateFailure(self._plugin, name, line, _sentence(error)) from error

    @bounded_work()
    def evaluate(self, expression: str, file: str, line: int, context: Mapping[str, Any]) -> Any:
        """The value of an expression that stands at ``line`` of ``file``. Raises TemplateFailure."""
        try:
            compiled = self._environment.compile_expression(expression, undefined_to_none=False)
            value = compiled(**context, range=bounded_range())
            return str(value) if isinstance(value, jinja2.Undefined) else value
        except Exception as error:
            raise TemplateFailure(self._plugin, file, line, f"expression {expression!r}: {_sentence(error)}") from error

    @bounded_work()
    def phrase(self, text: str, file: str, line: int, context: Mapping[str, Any]) -> str:
        """A text with ``{{ }}`` in it that stands at ``line`` of ``file``. Raises TemplateFailure."""
        try:
            return self._environment.from_string(text).render({**context, "range": bounded_range()})
        except Exception as error:
            raise TemplateFailure(self._plugin, file, line, f"message {text!r}: {_sentence(error)}") from error

    def _place(self, error: Exception, file: str) -> tuple[str, int]:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in self._files]
        return (frames[-1].filename, frames[-1].lineno or 0) if frames else (file, 0)


def _sentence(error: Exception) -> str:
    text = str(error)
    if isinstance(error, jinja2.UndefinedError):
        return text.replace("'dict object' has no attribute", "there is no entry")
    if isinstance(error, jinja2.TemplateError):
        return text
    return f"{type(error).__name__}: {text}"
