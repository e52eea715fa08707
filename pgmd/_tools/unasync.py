"""Generate the synchronous half: `pgmd/_async` to `pgmd/_sync`, `tests/async_` to `tests/sync`.

Edits are made at token positions, so that layout and comments survive; ruff then sorts imports
and formats. An f-string with anything to change in it is refused, as Python 3.11 sees one token
where 3.12 sees many: the output must not depend on the interpreter.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from itertools import accumulate
from pathlib import Path
from tokenize import COMMENT, DEDENT, INDENT, NAME, NEWLINE, NL, STRING

ROOT = Path(__file__).resolve().parents[2]
TREES = {
    "pgmd/_async": "pgmd/_sync",
    "tests/async_": "tests/sync",
    "tests/sides/async_": "tests/sides/sync",
}
MARK = "# Generated from "

# What `Async` prefixes do not cover. Each name must occur in some source, or --check fails.
NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "aclose": "close",
    "asynccontextmanager": "contextmanager",
    "connect_async": "connect",
    "aio": "threads",
}
# Those renamed only in import statements and directly below one of these packages.
MODULES = {"aio"}
PACKAGES = {"pgmd", "runtime", "tests"}

_PREFIX = re.compile(r"^(_?|Abstract)Async(?=[A-Z])")
_MODULE = re.compile(rf"\b({'|'.join(PACKAGES)})([./])({'|'.join(MODULES)})\b")


class UnasyncError(Exception):
    """A source says something that has no synchronous form known here."""


def rename(word: str, used: set[str], *, module: bool = False) -> str:
    if word == "AsyncGenerator":
        raise UnasyncError("AsyncGenerator takes two parameters, Generator three: AsyncIterator?")
    if word in NAMES and (module or word not in MODULES):
        used.add(word)
        return NAMES[word]
    return _PREFIX.sub(r"\1", word)


def translate(text: str, used: set[str]) -> str:
    """The synchronous form of a docstring or comment: prose with names and code examples."""
    text = re.sub(r"\basync (?=(with|for|def)\b)", "", text)
    text = re.sub(r"\bawait (?=[A-Za-z_][\w.]*[(\[])", "", text)
    text = re.sub(r"\b([Aa])n(\s+`*)(?=Async[B-DF-HJ-NP-TV-Z])", r"\1\2", text)
    text = _MODULE.sub(lambda m: m[1] + m[2] + rename(m[3], used, module=True), text)
    return re.sub(r"[A-Za-z_]\w*", lambda m: rename(m[0], used), text)


def to_sync(source: str, name: str, used: set[str] | None = None) -> str:
    """Translate *source*, the text of the file *name*; add the map's names it uses to *used*."""
    try:
        text = _rewrite(_drop_dead_branches(source), set() if used is None else used)
    except (UnasyncError, SyntaxError) as error:
        raise UnasyncError(f"{name}: {error}") from error
    # Under the source's name: the generated directories are exempt from linting.
    text = _ruff(["check", "--select", "I", "--fix-only"], text, name)
    text = _ruff(["format"], text, name)
    return f"{MARK}{name} by pgmd._tools.unasync. Do not edit.\n{text}"


def _ruff(command: list[str], text: str, name: str) -> str:
    beside = Path(sys.executable).with_name("ruff.exe" if sys.platform == "win32" else "ruff")
    ruff = [str(beside)] if beside.exists() else [sys.executable, "-m", "ruff"]
    line = [*ruff, *command, "--quiet", "--stdin-filename", name, "-"]
    done = subprocess.run(line, input=text, capture_output=True, encoding="utf-8", cwd=ROOT)
    if done.returncode:
        raise UnasyncError(f"{name}: ruff {command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _drop_dead_branches(source: str) -> str:
    """Resolve each `if ASYNC:` and `if not ASYNC:`, outermost first."""
    for parent in ast.walk(ast.parse(source)):
        suites = [getattr(parent, field, None) for field in ("body", "orelse", "finalbody")]
        for suite in (suite for suite in suites if isinstance(suite, list)):
            for node in (node for node in suite if isinstance(node, ast.If)):
                if test := re.fullmatch(r"(not )?([\w.]+\.)?ASYNC", ast.unparse(node.test)):
                    lines = source.split("\n")
                    live = _live_lines(lines, node, on_true=bool(test[1]))
                    if not live and len(suite) == 1:
                        live = [" " * node.col_offset + "pass"]
                    lines[node.lineno - 1 : _last_row(lines, node, node)] = live
                    return _drop_dead_branches("\n".join(lines))
    return source


def _live_lines(lines: list[str], node: ast.If, *, on_true: bool) -> list[str]:
    """The branch of *node* that counts, dedented, but not inside strings of several lines."""
    start, end = node.lineno, _last_row(lines, node, node)
    above_else, middle = end, end + 1
    if node.orelse:
        above_else = _last_row(lines, node.body[-1], node)
        between = range(above_else + 1, node.orelse[0].lineno)
        middle = next((r for r in between if re.match(r"\s*else:\s*(#.*)?$", lines[r - 1])), 0)
    if lines[start - 1].lstrip()[:4] == "elif" or not middle or node.body[0].lineno == start:
        raise UnasyncError(f"line {start}: 'if ASYNC:' stands alone or with 'else:', no elif")
    branch = node.body if on_true else node.orelse
    if not branch:
        return []
    rows = range(start + 1, above_else + 1) if on_true else range(middle + 1, end + 1)
    in_string = {
        row
        for n in ast.walk(node)
        if isinstance(n, ast.Constant | ast.JoinedStr)
        for row in range(n.lineno + 1, (n.end_lineno or 0) + 1)
    }
    width = branch[0].col_offset - node.col_offset
    dedented = [
        line[width:] if row not in in_string and line[:width].isspace() else line
        for row, line in ((row, lines[row - 1]) for row in rows)
    ]
    return dedented if on_true else lines[above_else : middle - 1] + dedented


def _last_row(lines: list[str], node: ast.stmt, outer: ast.stmt) -> int:
    """Where *node* ends, with the comments below it that are deeper than *outer*."""
    last = node.end_lineno or 0
    for row in range(last + 1, len(lines) + 1):
        text = lines[row - 1].lstrip()
        if text and not (text[0] == "#" and len(lines[row - 1]) - len(text) > outer.col_offset):
            break
        last = row if text else last
    return last


def _rewrite(source: str, used: set[str]) -> str:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            text = ast.get_source_segment(source, node) or ""
            if re.search(r"\b(await|async for)\b", text) or translate(text, set()) != text:
                raise UnasyncError(f"line {node.lineno}: assign first, not in an f-string: {text}")
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    offsets = list(accumulate((len(line) + 1 for line in source.split("\n")), initial=0))
    first: tokenize.TokenInfo | None = None  # of the statement
    result, done = "", 0
    for i, token in enumerate(tokens[:-1]):
        if token.type in (NEWLINE, INDENT, DEDENT):
            first = None
        elif first is None and token.type not in (NL, COMMENT):
            first = token
        old, end, follower = token.string, token.end, tokens[i + 1]
        new = old
        if token.type == NAME and old in ("async", "await"):
            new, end = "", follower.start if follower.start[0] == end[0] else end
        elif token.type == NAME:
            below = tokens[i - 1].string == "." and tokens[i - 2].string in PACKAGES
            module = below or (first is not None and first.string in ("from", "import"))
            new = rename(old, used, module=module)
        elif token.type == COMMENT:
            new = translate(old, used)
        elif token is first and token.type == STRING and follower.type in (NEWLINE, COMMENT):
            new = translate(old, used)  # a docstring
        elif whole := re.fullmatch(r"""(["'])([A-Za-z_]\w*)\1""", old):
            # An annotation, an entry of __all__, a name for getattr.
            new = whole[1] + rename(whole[2], used) + whole[1]
        if new != old:
            result += source[done : offsets[token.start[0] - 1] + token.start[1]] + new
            done = offsets[end[0] - 1] + end[1]
    return result + source[done:]


def differences(root: Path, used: set[str]) -> dict[Path, str | None]:
    """The generated files below *root* that ought to change, with their text; None to delete."""
    wanted: dict[Path, str | None] = {}
    for source, target in TREES.items():
        wanted |= dict.fromkeys((root / target).rglob("*.py"))
        for path in (root / source).rglob("*.py"):
            text = to_sync(path.read_text("utf-8"), path.relative_to(root).as_posix(), used)
            wanted[root / target / path.relative_to(root / source)] = text
    present = {path: path.read_text("utf-8") for path in wanted if path.exists()}
    return {path: wanted[path] for path in sorted(wanted) if present.get(path) != wanted[path]}


def problems(root: Path) -> list[str]:
    """Each output that is missing, stale or superfluous, and each name no source uses."""
    used: set[str] = set()
    found = []
    for path, text in differences(root, used).items():
        what = "superfluous" if text is None else "stale" if path.exists() else "missing"
        found.append(f"{what}: {path.relative_to(root).as_posix()}")
    return found + [f"unused name: {name}" for name in NAMES if name not in used]


def regenerate(root: Path) -> list[str]:
    """Write what changed, delete what lost its source; return what was done."""
    done = []
    for path, text in differences(root, set()).items():
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")
        elif path.read_text("utf-8").startswith(MARK):
            path.unlink()
        else:
            raise UnasyncError(f"{path}: neither generated nor deleted; move it")
        done.append(f"{'deleted' if text is None else 'wrote'} {path.relative_to(root).as_posix()}")
    return done


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pgmd._tools.unasync")
    parser.add_argument("--check", action="store_true", help="write nothing; report and exit 1")
    check = parser.parse_args(argv).check
    try:
        lines = problems(ROOT) if check else regenerate(ROOT)
    except UnasyncError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines) or "nothing to do")
    return 1 if check and lines else 0


if __name__ == "__main__":
    sys.exit(main())
