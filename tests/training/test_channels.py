"""What a channel gives to read: files however they are named and written, one table after the other."""

import csv
import gzip
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from contract.errors import UserError
from contract.training.channels import Channel

from programs import algorithm_of, docker, lay_out, saved, train_here, with_train

ROWS = [["1", "x,y"], ["2", "z"], ["3", "ø"]]


def channel(folder: Path, mode: str = "File", **files: bytes) -> Channel:
    """A channel of such files; ``__`` in a name stands for a dot."""
    (folder / "c").mkdir()
    for name, content in files.items():
        (folder / "c" / name.replace("__", ".")).write_bytes(content)
    return Channel("c", folder / "c", mode)


def read(given: Channel, **options: Any) -> list[list[str]]:
    tables = given.tables(**options)
    return [[str(cell).removesuffix(".0") for cell in row] for table in tables for row in table.to_numpy()]


@pytest.mark.parametrize(
    "text",
    [
        'a,b\n1,"x,y"\n2,z\n3,ø\n',
        '\ufeffa,b\n1,"x,y"\n2,z\n3,ø\n',
        'a,b\r\n1,"x,y"\r\n2,z\r\n3,ø',
        '"a","b"\n\n1,"x,y"\n2,z\n3,ø\n\n',
    ],
    ids=["plain", "byte order mark", "CRLF, and no end", "quoted names, blank lines"],
)
def test_a_file_is_read_however_it_was_written(tmp_path: Path, text: str) -> None:
    """T-24, T-29, T-31; V-10: also gzipped, and without a header by declaration."""
    content = text.encode()
    given = channel(tmp_path, plain__csv=content, packed__csv__gz=gzip.compress(content))
    assert read(given) == ROWS + ROWS
    assert read(given, rows=2) == ROWS + ROWS
    assert read(given, header=None)[:2] == [["a", "b"], ["1", "x,y"]]
    assert read(given, usecols=["a"]) == [[row[0]] for row in ROWS + ROWS]


def test_files_may_have_their_columns_in_any_order(tmp_path: Path) -> None:
    """T-24: empty files and files that hold a header alone are passed over."""
    given = channel(tmp_path, a__csv=b"a,b\n1,2\n", b__csv=b"b,a\n4,3\n", c__csv=b"", d__csv=b"a,b\n")
    assert read(given) == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"a": b"a,b\n1,2\n3,4,5\n"},
            "{c}/a.csv, line 3: the row has 3 cells, but the header has 2: quote each cell that holds a comma.",
        ),
        (
            {"a": b'a,b\n"1\n\n",2\n\n1,2,3\n'},
            "{c}/a.csv, line 6: the row has 3 cells, but the header has 2: quote each cell that holds a comma.",
        ),
        (
            {"a": b'a,b\n"1\n\n",2\n\n1,2,\n'},
            "{c}/a.csv, line 6: the row has 3 cells, but the header has 2: quote each cell that holds a comma.",
        ),
        (
            {"a": b'a,b\n"1\n",2\n1\n'},
            "{c}/a.csv, line 4: the row has 1 cell, but the header has 2: write a comma for each empty cell.",
        ),
        (
            {"a": b"a,b\n1,2,3\n4,5,6\n"},
            "{c}/a.csv, line 2: the row has 3 cells, but the header has 2: quote each cell that holds a comma.",
        ),
        (
            {"a": b'a,b\n"1\n",2\n"1,2\n3,4\n'},
            "{c}/a.csv, line 4: a quote is not closed: close it or remove it.",
        ),
        (
            {"a": b"a,b\n\xff,2\n"},
            "{c}/a.csv cannot be read as CSV: it is not in UTF-8.",
        ),
        ({"a": b"\n\n"}, "{c}/a.csv cannot be read as CSV: No columns to parse from file."),
        ({"a": b"a,b\n"}, "The channel 'c' has no rows: its files hold only a header."),
        ({"a__csv__gz": b"a,b\n1,2\n"}, "{c}/a.csv.gz cannot be read as CSV: Not a gzipped file (b'a,')."),
        (
            {"a__csv__gz": gzip.compress(b"a,b\n1,2\n")[:-9]},
            "{c}/a.csv.gz cannot be read as CSV: Compressed file ended",
        ),
        (
            {"a": b"a,b\n1,2\n", "b": b"a,c\n1,2\n"},
            "{c}/b.csv differs from the files before it in the column 'b': make them alike.",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, files: dict[str, bytes], sentence: str) -> None:
    """T-25, T-31."""
    named = {name if "__" in name else f"{name}__csv": content for name, content in files.items()}
    with pytest.raises(UserError) as mistake:
        read(channel(tmp_path, "File", **named))
    assert str(mistake.value).startswith(sentence.format(c=tmp_path / "c"))
    assert str(mistake.value).endswith(".")


def test_a_file_whose_name_is_not_utf_8_is_named_in_the_failure_file(project: Path, tmp_path: Path) -> None:
    """T-24, T-43: with an escape for the byte."""
    tree = lay_out(tmp_path, project)
    (tree / "input/data/training" / os.fsdecode(b"z\xff.csv")).write_bytes(b"a,b\n1,2\n")
    assert train_here(project, tree).returncode == 1
    failure = (tree / "output/failure").read_text(encoding="utf-8")
    assert failure.startswith(f"{tree}/input/data/training/z\\udcff.csv differs from the files before it")


def test_files_that_come_through_a_pipe_have_one_header(tmp_path: Path) -> None:
    """T-23: S3 sends the objects of a channel in a row, each with its own."""
    os.mkfifo(tmp_path / "c_0")
    text = 'a,b\n1,"x,y"\n2,z\n'
    writer = threading.Thread(target=(tmp_path / "c_0").write_text, args=[text + text])
    writer.start()
    given = Channel("c", tmp_path / "c", "Pipe")
    assert read(given, rows=3) == [["1", "x,y"], ["2", "z"]] * 2
    writer.join()


@pytest.mark.parametrize("second", ["1,", "1"])
def test_a_fault_far_below_is_named_too(tmp_path: Path, second: str) -> None:
    """T-31: where the rows above have been looked at already."""
    text = f"a,b\n{second}\n" + "1,2\n" * 200_000 + "2,\xff\n"
    given = channel(tmp_path, a__csv=text.encode("latin-1"))
    with pytest.raises(
        UserError, match=r"a\.csv(, line 2: the row has 1 cell| cannot be read as CSV: it is not in UTF-8)"
    ):
        read(given, rows=1)


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    """T-31: Python's csv takes 131,072 characters by default, and pandas any number."""
    long = "x" * 200_000
    given = channel(tmp_path, a__csv=f"a,b\n{long},1\n{long},\n".encode(), b__csv=f"{long},a\n1,2\n".encode())
    assert [len(row[0]) for row in read(given, usecols=["a"])] == [len(long)] * 2 + [1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\nx" + "x" * 99 + ",\n", "a.csv, line 3 cannot be read as CSV: field larger than field limit (50)."),
        ("a" * 99 + ",b\n1,2\n", "a.csv, line 1 cannot be read as CSV: field larger than field limit (50)."),
    ],
)
def test_what_pythons_csv_cannot_read_is_named_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    """T-31: such as a cell over the limit that ``train`` has set."""
    given = channel(tmp_path, a__csv=text.encode())
    limit = csv.field_size_limit(50)
    try:
        with pytest.raises(UserError) as mistake:
            read(given)
    finally:
        csv.field_size_limit(limit)
    assert str(mistake.value).endswith(sentence)


@pytest.mark.parametrize("header", ["a,b\n", "a\0,b\n"])
def test_a_nul_is_read_or_named(tmp_path: Path, header: str) -> None:
    """T-31."""
    given = channel(tmp_path, a__csv=f"{header}x\0,1\nz,\n".encode())
    assert len(read(given)) == 2


LARGE = 40_000_000  # cells of one digit: 80 MB of text, 320 MB as numbers


@pytest.mark.parametrize(("way", "status"), [("list(tables)", 137), ("(table for table in tables)", 0)])
def test_a_channel_larger_than_memory_is_read_in_pieces(
    image: str, project: Path, tmp_path: Path, way: str, status: int
) -> None:
    """T-22, T-45: where a job that keeps the tables is killed, one that lets each go has room."""
    count = f"print(sum(len(table) for table in {way}), 'rows')"
    mine = with_train(project, tmp_path, "tables = job.channel('large').tables()", count)
    tree = lay_out(tmp_path / "tree", mine, {"n_estimators": 3})
    (tree / "input/data/large").mkdir()
    with (tree / "input/data/large/digits.csv").open("w", encoding="ascii") as file:
        file.write("a,b,c,d,e,f,g,h\n")
        for _ in range(LARGE // 80_000):
            file.write("1,2,3,4,5,6,7,8\n" * 10_000)
    limits = ["--memory=280m", "--memory-swap=280m"]
    done = docker("run", "--rm", *limits, f"--volume={tree}:/opt/ml", algorithm_of(mine), image, "train")
    assert done.returncode == status, done.stdout + done.stderr
    assert (f"{LARGE // 8} rows" in done.stdout) == (status == 0)
    assert saved(tree) == ([] if status else ["baseline.json", "manifest.json", "model.onnx", "signature.json"])
