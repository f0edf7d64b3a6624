"""How generated files are written, or compared with what they should be; for each ``python -m api.…``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_generated(
    program: str, files: Mapping[str, str], output: Path, arguments: Sequence[str] | None = None
) -> int:
    """Writes ``files`` (relative path -> text), or with ``--check`` says which are out of date (exit code 1)."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description="Generates files from the models.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is out of date")
    parser.add_argument("--output", type=Path, default=output)
    options = parser.parse_args(arguments)
    stale = []
    for name, text in files.items():
        path = options.output / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path))
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if options.check and stale:
        print(f"out of date: {', '.join(stale)}; run python -m {program}", file=sys.stderr)
        return 1
    return 0
