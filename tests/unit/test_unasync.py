"""The generator of the synchronous half, on snippets and on temporary trees."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from pgmd._tools import unasync
from pgmd._tools.unasync import UnasyncError, problems, regenerate, to_sync

NAME = "pgmd/_async/x.py"


def sync(source: str) -> str:
    header, body = to_sync(dedent(source).lstrip("\n"), NAME).split("\n", 1)
    assert header == "# Generated from pgmd/_async/x.py by pgmd._tools.unasync. Do not edit."
    return body


def lines(text: str) -> str:
    return dedent(text).lstrip("\n")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("async def f():\n    await g()\n", "def f():\n    g()\n"),
        ("async with a as b, c:\n    pass\n", "with a as b, c:\n    pass\n"),
        ("async for a in b:\n    pass\n", "for a in b:\n    pass\n"),
        ("x = [await a async for a in b if await c]\n", "x = [a for a in b if c]\n"),
        ("x = {a: b async for a, b in c}\n", "x = {a: b for a, b in c}\n"),
        ("x = await a or -await b ** 2\n", "x = a or -(b**2)\n"),
        ("f(await a, *await b, c=await d)\n", "f(a, *b, c=d)\n"),
        ("x = await (await a())()\n", "x = (a())()\n"),
        ("x = await \\\n    a()\n", "x = a()\n"),
    ],
)
def test_keywords_go(source: str, expected: str) -> None:
    # An `await` outside a coroutine is fine here: nothing is run.
    assert sync(source) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("AsyncEngine", "Engine"),
        ("_AsyncLease", "_Lease"),
        ("AsyncConnectionPool", "ConnectionPool"),
        ("AsyncIterator", "Iterator"),
        ("AsyncContextManager", "ContextManager"),
        ("AbstractAsyncContextManager", "AbstractContextManager"),
        ("AsyncExitStack", "ExitStack"),
        ("Async", "Async"),
        ("Asynchronous", "Asynchronous"),
        ("ASYNC", "ASYNC"),
        ("MyAsyncThing", "MyAsyncThing"),
        ("asyncio", "asyncio"),
        *((old, new) for old, new in unasync.NAMES.items() if old not in unasync.MODULES),
    ],
)
def test_names_are_renamed_in_code_whole_strings_docstrings_and_comments(
    word: str, expected: str
) -> None:
    assert sync(f'"""See `{word}`."""\n\nx.{word}(y, "{word}")  # {word}\n') == (
        f'"""See `{expected}`."""\n\nx.{expected}(y, "{expected}")  # {expected}\n'
    )


def test_module_names_are_renamed_in_imports_and_below_their_packages_only() -> None:
    source = """
        from .pool import AsyncPool
        from ..runtime import aio as runtime
        from ..runtime.aio import Lock

        x = pgmd.runtime.aio.Lock  # runtime.aio
        y = f(aio, self.aio, "aio", async_=1)  # aio
        """
    assert sync(source) == lines("""
        from ..runtime import threads as runtime
        from ..runtime.threads import Lock
        from .pool import Pool

        x = pgmd.runtime.threads.Lock  # runtime.threads
        y = f(aio, self.aio, "aio", async_=1)  # aio
        """)


def test_imports_are_sorted_after_renaming() -> None:
    source = "from contextlib import AsyncExitStack, asynccontextmanager, closing\n"
    assert sync(source) == "from contextlib import ExitStack, closing, contextmanager\n"


def test_docstring_examples_become_synchronous_and_prose_stays_grammatical() -> None:
    source = '''
        def f():
            """Open an `AsyncSession` of an AsyncEngine.

                async with await pgmd.connect_async("md:") as engine:
                    async for row in await session.execute("select 1"):
                        pass

            Waiters await a grant.
            """
        '''
    assert sync(source) == lines('''
        def f():
            """Open a `Session` of an Engine.

                with pgmd.connect("md:") as engine:
                    for row in session.execute("select 1"):
                        pass

            Waiters await a grant.
            """
        ''')


def test_ordinary_strings_are_left_alone() -> None:
    text = 'x = "AsyncEngine is closed", "await f()", b"aclose", f"{y!r} ünï"\n'
    assert sync(text) == text


@pytest.mark.parametrize(
    "text",
    [
        'f"{await x}"',
        'f"{x.aclose()}"',
        "f'AsyncEngine {x}'",
        "f'{[a async for a in b]}'",
        "rf'''{f\"{AsyncEngine}\"}'''",
    ],
)
def test_f_strings_with_something_to_change_are_refused(text: str) -> None:
    with pytest.raises(UnasyncError, match=r"^pgmd/_async/x.py: line 2: .*f-string"):
        sync(f"\nx = 1\ny = {text}\n")


def test_async_generator_is_refused() -> None:
    with pytest.raises(UnasyncError, match="AsyncIterator"):
        sync("from collections.abc import AsyncGenerator\n")


def test_comments_and_layout_survive_an_await_over_several_lines() -> None:
    source = """
        async def f():
            # before
            x = (
                # why
                await  # odd
                # where
                g(
                    1,  # one
                )
            )  # after
            # last
        """
    assert sync(source) == lines("""
        def f():
            # before
            x = (
                # why
                # odd
                # where
                g(
                    1,  # one
                )
            )  # after
            # last
        """)


@pytest.mark.parametrize("test", ["ASYNC", "runtime.ASYNC"])
def test_the_live_branch_is_dedented_with_its_comments(test: str) -> None:
    source = f'''
        def f():
            # above
            if {test}:  # gone
                await a()
                # gone
            # on else
            else:
                # first
                def g():
                    """Say.

                    More.
                    """
                    return """x
            y"""
                # last
            # below
            if not {test}:
                b()
            else:
                await b()
            if not {test}:
                c()
            if {test}:
                await d()
                # gone
        '''
    assert sync(source) == lines('''
        def f():
            # above
            # on else
            # first
            def g():
                """Say.

                More.
                """
                return """x
            y"""

            # last
            # below
            b()
            c()
        ''')


def test_nested_branches_are_resolved() -> None:
    source = """
        if not ASYNC:
            for x in y:
                if ASYNC:
                    await a()
                else:
                    if not ASYNC:
                        b()
                    else:
                        await b()
            else:
                c()
        """
    assert sync(source) == "for x in y:\n    b()\nelse:\n    c()\n"


def test_a_block_left_empty_gets_a_pass() -> None:
    source = "async def f():\n    if ASYNC:\n        await a()\n\n\nx = 1\n"
    assert sync(source) == "def f():\n    pass\n\n\nx = 1\n"


@pytest.mark.parametrize(
    "source",
    [
        "if ASYNC:\n    a()\nelif x:\n    b()\n",
        "if x:\n    a()\nelif ASYNC:\n    b()\n",
        "if ASYNC: a()\n",
    ],
)
def test_branches_in_other_shapes_are_refused(source: str) -> None:
    with pytest.raises(UnasyncError, match=r"x.py: line \d: 'if ASYNC:'"):
        sync(source)


def test_other_uses_of_the_flag_stay() -> None:
    assert sync("x = 1 if ASYNC else 2\n") == "x = 1 if ASYNC else 2\n"


def test_synchronous_text_comes_through_unchanged() -> None:
    text = sync("async def f() -> None:\n    await g()  # AsyncEngine\n")
    assert "Async" not in text
    assert sync(text) == text


def test_a_syntax_error_names_the_file() -> None:
    with pytest.raises(UnasyncError, match=r"^pgmd/_async/x.py: "):
        sync("def f(:\n")


def test_names_in_use_are_collected_over_all_sources() -> None:
    used: set[str] = set()
    to_sync("x.aclose()\n", NAME, used)
    to_sync("# see connect_async\n", NAME, used)
    assert used == {"aclose", "connect_async"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("pgmd/_async/__init__.py", "pgmd/_async/deep/a.py", "tests/async_/test_a.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if path.stem == "__init__" else "async def f(): ...\n", "utf-8")
    return tmp_path


def found(root: Path) -> list[str]:
    return [line for line in problems(root) if not line.startswith("unused")]


def test_regenerating_writes_whole_directories_once(root: Path) -> None:
    written = ["pgmd/_sync/__init__.py", "pgmd/_sync/deep/a.py", "tests/sync/test_a.py"]
    assert found(root) == [f"missing: {name}" for name in written]
    assert regenerate(root) == [f"wrote {name}" for name in written]
    assert (root / "pgmd/_sync/deep/a.py").read_text("utf-8") == (
        "# Generated from pgmd/_async/deep/a.py by pgmd._tools.unasync. Do not edit.\n"
        "def f(): ...\n"
    )
    assert found(root) == []
    assert regenerate(root) == []


def test_checking_reports_stale_truncated_and_superfluous_outputs_and_writes_nothing(
    root: Path,
) -> None:
    regenerate(root)
    stale, truncated = root / "pgmd/_sync/deep/a.py", root / "pgmd/_sync/__init__.py"
    stale.write_text(stale.read_text("utf-8") + "x = 1\n", "utf-8")
    truncated.write_text("", "utf-8")
    (root / "tests/async_/test_a.py").unlink()
    assert found(root) == [
        "stale: pgmd/_sync/__init__.py",
        "stale: pgmd/_sync/deep/a.py",
        "superfluous: tests/sync/test_a.py",
    ]
    assert truncated.read_text("utf-8") == ""
    assert "deleted tests/sync/test_a.py" in regenerate(root)
    assert found(root) == []


def test_a_file_that_was_not_generated_is_not_deleted(root: Path) -> None:
    regenerate(root)
    mine = root / "pgmd/_sync/mine.py"
    mine.write_text("x = 1\n", "utf-8")
    assert found(root) == ["superfluous: pgmd/_sync/mine.py"]
    with pytest.raises(UnasyncError, match=r"mine\.py"):
        regenerate(root)
    assert mine.exists()


def test_checking_reports_names_no_source_uses(root: Path) -> None:
    (root / "pgmd/_async/b.py").write_text("x.aclose()\n", "utf-8")
    (root / "tests/async_/test_b.py").write_text("from tests.async_ import c\n", "utf-8")
    unused = {line for line in problems(root) if line.startswith("unused")}
    assert unused == {f"unused name: {n}" for n in unasync.NAMES.keys() - {"aclose", "async_"}}


def test_only_checking_exits_1_on_a_finding(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unasync, "ROOT", root)
    monkeypatch.setattr(unasync, "NAMES", {})
    for arguments, status in ((["--check"], 1), ([], 0)):
        assert unasync.main(arguments) == status
        assert "pgmd/_sync/deep/a.py" in capsys.readouterr().out
    assert unasync.main(["--check"]) == 0
