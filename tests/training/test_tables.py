"""A table means the same in training and in a request: each cell is read by one definition."""

import csv
import gzip
import io
import json
import math
import os
import random
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from contract.errors import RequestError, UserError
from contract.feature import GAPS, WORDS, Feature
from contract.predictions import as_columns, describe
from contract.schema import Schema, of_model
from contract.serving import openapi
from contract.serving.formats import CSV, JSON, Body
from contract.training.channels import Channel
from contract.training.signature import Signature
from contract.training.tables import Tables
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mistakes import Job


def predict_array(model: object, rows: Any) -> None: ...


def predict_table(model: object, rows: pd.DataFrame) -> None: ...


class Training:
    """A training job's channels, below a folder."""

    def __init__(self, folder: Path, predict: Any = predict_table) -> None:
        self.folder, self.signature = folder, Signature(predict)

    def channel(self, name: str = "training", **files: str) -> Channel:
        (self.folder / name).mkdir(exist_ok=True, parents=True)
        for file, text in files.items():
            (self.folder / name / f"{file}.csv").write_text(text, encoding="utf-8")
        return Channel(name, self.folder / name, _signature=self.signature)

    @property
    def schema(self) -> Schema:
        """What the server knows of the model: it has gone through the file."""
        features = [Feature.from_json(json.loads(json.dumps(each.as_json()))) for each in self.signature.features]
        return Schema(features, self.signature.predict)


def sentence_of(channel: Channel, target: str = "y", kind: Any = "classes", **more: Any) -> str:
    with pytest.raises(UserError) as refused:
        channel.split(target, kind, **more)
    return str(refused.value).replace(str(channel.directory), channel.name)


def csv_of(rows: list[list[object]]) -> str:
    return str(pd.DataFrame(rows).to_csv(index=False, header=False))


# What a column holds


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (["1", "2.5", "1e3"], "float64", [1.0, 2.5, 1000.0]),
        ([" 1 ", "2", "3"], "float64", [1.0, 2.0, 3.0]),
        (["1", "NA", "null"], "float64", [1.0, math.nan, math.nan]),
        (["1", "", "n/a"], "float64", [1.0, math.nan, math.nan]),
        (["True", "false", "TRUE"], "bool", [True, False, True]),
        (["True", "0", "1"], "bool", [True, False, True]),
        (["True", "", "none"], "float64", [1.0, math.nan, math.nan]),
        (["NA", "ZA", "BW"], "str", ["NA", "ZA", "BW"]),
        (["None", "x", ""], "str", ["None", "x", math.nan]),
        (["1", "2", "1a"], "str", ["1", "2", "1a"]),
        (["01", "02", "x"], "str", ["01", "02", "x"]),
        (["True", "2", "x"], "str", ["True", "2", "x"]),
        (["True", "false", "2"], "str", ["True", "false", "2"]),
        (["1_000", "2", "3"], "str", ["1_000", "2", "3"]),
        (["", "", "NA"], "float64", [math.nan] * 3),
    ],
)
@pytest.mark.parametrize("files", [1, 3])
def test_what_a_column_holds_is_decided_over_all_files(
    tmp_path: Path, cells: list[str], dtype: str, values: list[object], files: int
) -> None:
    """T-31: a file of its own for each cell says the same as one for all."""
    parts = [cells] if files == 1 else [[cell] for cell in cells]
    texts = {f"part{number}": "x,y\n" + "".join(f'"{cell}",1\n' for cell in part) for number, part in enumerate(parts)}
    table = Training(tmp_path).channel(**texts).table()
    assert str(table["x"].dtype) == dtype
    assert repr(table["x"].tolist()) == repr(values)


def test_what_a_column_holds_is_decided_over_all_rows(tmp_path: Path) -> None:
    """T-31: also where only a few are in memory at a time."""
    given = Training(tmp_path).channel(t="x\n" + "01\n" * 5 + "a\n")
    assert [table["x"].tolist() for table in given.tables(rows=2)] == [["01", "01"], ["01", "01"], ["01", "a"]]


CELLS = st.one_of(
    st.sampled_from(
        [*GAPS, *WORDS, "NaN", "NULL", "True", "0", "1", "01", "1.0", "inf", "-1e400", "1_000", "٣", "0x1"]
    ),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=3),
)


@settings(deadline=None)
@given(cells=st.lists(CELLS, min_size=1, max_size=4))
@example(cells=["1", " "])
@example(cells=["0.1", "123456789012345678901234567890"])
def test_a_request_means_what_training_read(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    """T-31, H-21: each row of a channel, sent as CSV and as JSON, is accepted, and has the same values."""
    text = csv_of([[cell, number % 2, "b"] for number, cell in enumerate([*cells, *cells])])
    training = Training(tmp_path_factory.mktemp("cells"))
    try:
        given = training.channel(t="x,y,z\n" + text)
        rows, _ = given.split("y", "classes")
    except UserError:
        return  # such as an infinite number: it names it
    body = Body(("x,z\n" + rows_text(text)).encode(), {"header": "present"}, 2**30)
    sent = training.schema.table(CSV.decode(body, training.schema))
    pd.testing.assert_frame_equal(sent, rows, check_exact=True)
    plain = [[None if value != value else value for value in row] for row in rows.astype(object).to_numpy().tolist()]
    document = Body(json.dumps({"instances": plain}).encode(), {}, 2**30)
    pd.testing.assert_frame_equal(training.schema.table(JSON.decode(document, training.schema)), rows, check_exact=True)


def rows_text(text: str) -> str:
    """The lines of a table without its second column."""
    out = io.StringIO()
    csv.writer(out).writerows([row[0], row[2]] for row in csv.reader(io.StringIO(text, newline="")) if row)
    return out.getvalue()


# What is learned, and enforced


def test_the_signature_has_kinds_gaps_choices_and_examples(tmp_path: Path) -> None:
    """T-47: as they were in training."""
    lines = [f"{['Oslo', 'Rome'][i % 2]},{i},{'' if i % 5 else i},{i % 3 == 0},note {i},{i % 2}\n" for i in range(40)]
    training = Training(tmp_path)
    training.channel(t="city,area,year,garage,note,y\n" + "".join(lines)).split("y", "classes")
    assert training.schema.features == [
        Feature("city", str, ("Oslo", "Rome"), example="Oslo"),
        Feature("area", float, example=19.0),
        Feature("year", float, missing=True, example=15.0),
        Feature("garage", bool, example=False),
        Feature("note", str, example="note 0"),
    ]


def test_a_feature_may_be_declared_in_place_of_what_the_data_show(tmp_path: Path) -> None:
    """T-31: a code with leading zeros, a bound, gaps that the training data do not have."""
    text = "zip,age,year,y\n" + "".join(f"0{i},{i},{i},{i % 2}\n" for i in range(10))
    training = Training(tmp_path)
    declared = [Feature("zip", str), Feature("age", maximum=120), Feature("year", missing=True)]
    rows, _ = training.channel(t=text).split("y", "classes", features=declared)
    assert rows["zip"].tolist()[:2] == ["00", "01"]
    [[zip_, age, year]] = CSV.decode(Body(b"007,30,\n", {}, 2**20), training.schema)
    assert (zip_, age, math.isnan(year)) == ("007", 30.0, True)
    with pytest.raises(RequestError, match="row 1, column 'age' is above 120"):
        CSV.decode(Body(b"007,130,\n", {}, 2**20), training.schema)
    beyond = training.channel("validation", v="zip,age,year,y\n1,2,3,0\n1,130,3,0\n")
    assert sentence_of(beyond) == "validation/v.csv, line 3: the column 'age' is above 120."


def test_rows_are_an_array_where_predict_takes_one(tmp_path: Path) -> None:
    """H-21: booleans are 1 and 0."""
    rows, labels = Training(tmp_path, predict_array).channel(t="a,b,y\n1,True,x\n2,False,z\n").split("y", "classes")
    assert rows.dtype == np.float64
    assert rows.tolist() == [[1.0, 1.0], [2.0, 0.0]]
    assert labels.tolist() == ["x", "z"]


def test_another_channel_is_read_as_the_first_was(tmp_path: Path) -> None:
    """T-31: its columns may be in another order, beside others, and hold texts that are new."""
    training = Training(tmp_path)
    lines = "".join(f"{['Oslo', 'Rome'][i % 2]},{i},{i % 2}.0\n" for i in range(40))
    training.channel(t="city,area,y\n" + lines).split("y", "classes")
    rows, labels = training.channel("validation", v="id,y,area,city\n1,1,7,Lima\n2,0,8,Oslo\n").split("y", "classes")
    assert list(rows) == ["city", "area"]
    assert rows["city"].tolist() == ["Lima", "Oslo"]
    assert labels.tolist() == ["1", "0"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,y\n1,x\n", "The channel 'validation' has no column 'b': it has a, y."),
        (
            "a,b,y\n1,2,x\n\n1,many,x\n",
            "validation/v.csv, line 4: the column 'b' is not a finite number.",
        ),
        ('a,b,y\n"1\n",2,x\n1,,x\n', "validation/v.csv, line 4: the column 'b' has no value, "),
        ('a,b,y\n"\n\n"\n1,2,x\n', "validation/v.csv, line 4: the row has 1 cell, but the header has 3: "),
        ("a,b,y\n  \n1,2,x\n\t\n1,many,x\n", "validation/v.csv, line 5: the column 'b' is not a finite number."),
    ],
)
def test_another_channel_that_does_not_fit_is_named_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    """T-31: lines are counted as an editor counts them."""
    training = Training(tmp_path)
    training.channel(t="a,b,y\n1,2,x\n1,2,z\n").split("y", "classes")
    assert sentence_of(training.channel("validation", v=text)).startswith(sentence)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"kind": bytes}, "Feature('a') has the kind <class 'bytes'>: give float, str or bool."),
        (
            {"kind": str, "choices": (True, False)},
            "Feature('a') has the choices (True, False): give a tuple of strings.",
        ),
        ({"kind": str, "choices": "yes"}, "Feature('a') has the choices 'yes': give a tuple of strings."),
        ({"choices": ("1", "2")}, "Feature('a') has choices, which only a str can have: set its kind to str."),
        ({"example": "many"}, "The example of Feature('a') is not a finite number."),
        ({"minimum": 1, "example": 0}, "The example of Feature('a') is below 1."),
        (
            {"minimum": 2, "maximum": 1},
            "Feature('a') has bounds that no value can meet: give them only to a float, minimum first.",
        ),
        (
            {"kind": str, "maximum": 1},
            "Feature('a') has bounds that no value can meet: give them only to a float, minimum first.",
        ),
    ],
)
def test_a_feature_that_no_column_can_be_is_refused(given: dict[str, Any], sentence: str) -> None:
    """T-44: where it is declared, and not when it serves."""
    with pytest.raises(UserError) as refused:
        Feature("a", **given)
    assert str(refused.value) == sentence


def test_whole_numbers_are_numbers() -> None:
    """H-21."""
    assert Feature("a", int) == Feature("a", float)


# The target


@pytest.mark.parametrize("labels", [("0", "1"), ("0.0", "1.0"), ("0.00", "1e0"), ("-0", "+1")])
def test_a_class_has_one_name_however_its_number_is_written(tmp_path: Path, labels: tuple[str, str]) -> None:
    """T-55: else no prediction is right, and a tuning job believes it."""
    training = Training(tmp_path)
    text = "a,y\n" + "".join(f"{i},{labels[i % 2]}\n" for i in range(6))
    _, found = training.channel(t=text, u="a,y\n1,1\n2,0.0\n").split("y", "classes")
    assert set(found) == {"0", "1"}
    _, others = training.channel("validation", v="a,y\n1,1.0\n2,0\n").split("y", "classes")
    assert others.tolist() == ["1", "0"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["007", "008", "10"], ["007", "008", "10"]),
        (["9007199254740993", "9007199254740992.0", "7"], ["9007199254740993", "9007199254740992", "7"]),
        (["True", "FALSE", "true"], ["True", "False", "True"]),
        (["1.5 l", "2", "03"], ["1.5 l", "2", "03"]),
    ],
)
def test_no_two_classes_become_one(tmp_path: Path, labels: list[str], expected: list[str]) -> None:
    """T-31: codes keep their zeros, and long numbers their digits."""
    text = "a,y\n" + "".join(f"1,{label}\n" for label in labels)
    training = Training(tmp_path)
    _, found = training.channel(t=text).split("y", "classes")
    assert found.tolist() == expected
    _, again = training.channel("validation", v=text).split("y", "classes")
    assert again.tolist() == expected


def test_a_gap_among_classes_that_are_numbers_is_told_in_each_channel(tmp_path: Path) -> None:
    """T-31: else it would be a class."""
    training = Training(tmp_path)
    training.channel(t="a,y\n1,0\n2,1\n").split("y", "classes")
    assert sentence_of(training.channel("validation", v="a,y\n1,NA\n2,1\n")) == (
        "The column 'y' of the channel 'validation' lacks a value in some rows."
    )


def test_split_is_for_one_target_and_two_kinds(tmp_path: Path) -> None:
    """T-44: a second target would be a feature of the first."""
    training = Training(tmp_path)
    given = training.channel(t="a,b,y,z\n1,1,0,1\n2,1,1,0\n")
    assert sentence_of(given, "y", "regression") == 'split() got the kind \'regression\': give "classes" or "numbers".'
    assert sentence_of(given, "y", "classes", features=["a", "y"]).startswith("The column 'y' is the target: leave it ")
    assert (
        sentence_of(given, "y", "classes", features=["a", "a"]) == "The column 'a' is declared twice: declare it once."
    )
    rows, _ = Training(tmp_path / "other").channel(t="a,b,y\n1,1,0\n2,1,1\n").split("y", "classes", features=["a"])
    assert list(rows) == ["a", "b"]
    given.split("y", "classes")
    assert sentence_of(given, "z").startswith("split() first had the target 'y' and now has 'z': ")


def test_columns_that_are_no_numbers_are_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """T-31: one stray cell makes a text of them."""
    Training(tmp_path).channel(t="a,b,c,y\n1,True,x\u2212,0\n2,False,5,1\n").split("y", "classes")
    assert capsys.readouterr().out.splitlines()[1:] == ["training: texts in c", "training: booleans in b"]


def test_codes_that_are_read_as_numbers_are_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """T-31: the numbers 0123 and 123 are one, and so are long ones that differ in their last digit."""
    table = "zip,id,price,share,y\n0123,9007199254740993,10,0.5,0\n123,12,0,00,1\n"
    training = Training(tmp_path)
    training.channel(t=table).split("y", "classes", features=[Feature("share")])
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"training: the numbers in {name} {lost}: if they are codes, "
        f'features=[Feature("{name}", str)] in split() keeps them as they are'
        for name, lost in [("zip", "lose the zero of 0123"), ("id", "have more digits than a number keeps")]
    ]
    kept = [Feature("zip", str), Feature("id", str), Feature("share")]
    rows, _ = Training(tmp_path / "kept").channel(t=table).split("y", "classes", features=kept)
    assert rows["zip"].tolist() == ["0123", "123"]
    assert rows["id"].tolist() == ["9007199254740993", "12"]


def test_names_have_no_blanks_around_them(tmp_path: Path) -> None:
    """H-59, T-31: in training as in requests."""
    training = Training(tmp_path)
    rows, _ = training.channel(t=" a , b,y\n1,x,0\n2,z,1\n").split("y", "classes")
    assert list(rows) == ["a", "b"]
    assert CSV.decode(Body(b"b, a\nx,1\n", {"header": "present"}, 2**20), training.schema) == [[1.0, "x"]]


def test_a_row_may_be_a_gap_alone(tmp_path: Path) -> None:
    """H-58, H-59: as many predictions as rows."""
    training = Training(tmp_path)
    training.channel(t="a,y\n1,p\n,q\n3,p\n").split("y", "classes")
    for body, header in ((b"1\n\n3\n", ""), (b'1\n""\n3\n', ""), (b'a\r\n1\r\n""\r\n3\r\n', "present")):
        found = CSV.decode(Body(body, {"header": header}, 2**20), training.schema)
        assert repr(found) == "[[1.0], [nan], [3.0]]"


def test_a_class_may_be_called_na(tmp_path: Path) -> None:
    """T-31: in a column of texts the empty cell alone is a gap."""
    _, labels = Training(tmp_path).channel(t="a,y\n1,NA\n2,None\n3,EU\n").split("y", "classes")
    assert labels.tolist() == ["NA", "None", "EU"]


def test_numbers_are_a_target_of_floats(tmp_path: Path) -> None:
    """T-31."""
    _, target = Training(tmp_path).channel(t="a,y\n1,7\n2,8\n").split("y", "numbers")
    assert target.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        (
            "a,y\n" + "".join(f"{i},{i * 7}\n" for i in range(400)),
            "classes",
            "The column 'y' of the channel 'training' holds 400 different numbers in 400 rows, which are amounts and "
            'not classes: name another column as the target, or predict numbers with split("y", "numbers").',
        ),
        ("a,y\n1,0.5\n2,1.5\n", "classes", "The column 'y' of the channel 'training' holds 2 different numbers in 2 "),
        (
            "a,y\n1,x\n2,x\n",
            "classes",
            "The column 'y' of the channel 'training' has only one class, 'x': give rows of at least two.",
        ),
        ("a,y\n1,x\n2,\n", "classes", "training/t.csv, line 3: the column 'y' has no value, but the model "),
        ("a,y\n1,1\n2,NA\n3,0\n", "classes", "training/t.csv, line 3: the column 'y' has no value, "),
        (
            "a,y\n1,1\n2,dear\n",
            "numbers",
            "training/t.csv, line 3: the column 'y' is not a finite number.",
        ),
        ("a,z\n1,1\n", "numbers", "The channel 'training' has no column 'y': it has a, z."),
        ("y\n1\n2\n", "numbers", "The channel 'training' has no column to learn from besides 'y'."),
        (
            "a,y\n1,1\ninf,2\n",
            "numbers",
            "training/t.csv, line 3: the column 'a' is not a finite number.",
        ),
    ],
)
def test_a_target_that_cannot_be_learned_is_named(tmp_path: Path, text: str, kind: str, sentence: str) -> None:
    """T-44: with file and line where there is one."""
    assert sentence_of(Training(tmp_path).channel(t=text), "y", kind).startswith(sentence)


def test_a_gap_that_training_did_not_have_may_be_declared(tmp_path: Path) -> None:
    """T-31, T-44: the message says how; and the target has none."""
    text, gap = "a,city,y\n1,Oslo,x\n2,Rome,z\n", "a,city,y\n1,Oslo,x\n,Rome,z\n"
    training = Training(tmp_path)
    training.channel(t=text).split("y", "classes")
    told = sentence_of(training.channel("validation", v=gap))
    assert told == (
        "validation/v.csv, line 3: the column 'a' has no value, but the model needs one. Fill in the cell, or "
        'allow missing values in the first call of split(): features=[Feature("a", missing=True)].'
    )
    missing = sentence_of(training.channel("validation", v="a,city,y\n1,,x\n"))
    assert missing.endswith('features=[Feature("city", str, missing=True)].')
    label = sentence_of(training.channel("validation", v="a,city,y\n1,Oslo,\n"))
    assert label == "validation/v.csv, line 2: the column 'y' has no value, but the model needs one."
    again = Training(tmp_path / "again")
    again.channel(t=text).split("y", "classes", features=[Feature("a", missing=True)])
    rows, _ = again.channel("validation", v=gap).split("y", "classes")
    assert math.isnan(rows["a"][1])


def test_labels_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-31: from a large table it takes long."""
    made = []
    real = Signature._classes

    def counting(self: Signature, column: Any, channel: str) -> Any:
        made.append(channel)
        return real(self, column, channel)

    monkeypatch.setattr(Signature, "_classes", counting)
    Training(tmp_path).channel(t="a,y\n1,x\n2,z\n").split("y", "classes")
    assert made == ["training"]


# The header


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            ",y,a\n0,no,1\n1,yes,2\n",
            "training/t.csv, line 1: column 1 has no name: if it is the index of a DataFrame, write the file with "
            "to_csv(index=False).",
        ),
        (
            "y,a,\nno,1,\nyes,2,\n",
            "training/t.csv, line 1: column 3 has no name: name it, or remove the comma at the end of the header.",
        ),
        ("y,a,a\nno,1,2\n", "training/t.csv, line 1: two columns are named 'a': give each its own name."),
        ("\n \ny,a,a\nno,1,2\n", "training/t.csv, line 3: two columns are named 'a': give each its own name."),
        (
            "y;a\nno;1,5\nyes;2,5\n",
            "training/t.csv, line 1: the columns seem to be separated by semicolons: separate them by commas, "
            "or read the file with table(sep=';').",
        ),
        (
            "y\ta\nno\t1\n",
            "training/t.csv, line 1: the columns seem to be separated by tabs: separate them by commas, "
            "or read the file with table(sep='\\t').",
        ),
    ],
)
def test_a_header_that_names_no_column_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """T-31: pandas would make up a name, and a row's number would become a feature."""
    assert sentence_of(Training(tmp_path).channel(t=text)) == sentence


def test_a_packed_file_is_named_with_its_line_too(tmp_path: Path) -> None:
    """T-24, T-31."""
    (tmp_path / "training").mkdir()
    (tmp_path / "training/t.csv.gz").write_bytes(gzip.compress(b"a,y\n1,1\nx,2\n"))
    given = Training(tmp_path).channel()
    declared = [Feature("a")]
    assert sentence_of(given, "y", "numbers", features=declared) == (
        "training/t.csv.gz, line 3: the column 'a' is not a finite number."
    )


def test_a_table_with_another_separator_is_read_by_declaration(tmp_path: Path) -> None:
    """T-31: as the message says; and a column's name may hold any mark."""
    assert list(Training(tmp_path).channel(t="y;a\nno;1\n").table(sep=";")) == ["y", "a"]
    assert list(Training(tmp_path / "other").channel(t="y;z\nno\n").table(sep=",")) == ["y;z"]


def test_text_for_an_array_is_told_where_it_stands(tmp_path: Path) -> None:
    """T-44: most likely one cell is wrong."""
    wrong = sentence_of(Training(tmp_path / "label", predict_array).channel(t="a,b,y\n1,u,x\n2,v,\n"))
    assert wrong.startswith("training/t.csv, line 2: the column 'b' is not a finite number. Fix the cell, or ")
    sentence = sentence_of(Training(tmp_path, predict_array).channel(t="a,y\n1,x\n?,z\n2,x\n"))
    assert sentence == (
        "training/t.csv, line 3: the column 'a' is not a finite number. Fix the cell, or annotate the "
        "rows of predict() as pandas.DataFrame, which can hold text."
    )


# The whole program


def test_two_classes_that_are_tied_are_no_reason_to_fail(project: Path, tmp_path: Path) -> None:
    """T-44: an even number of trees on noisy labels."""
    chance = random.Random(0)
    lines = [f"{chance.choice(['no', 'yes'])},{chance.randrange(1000)},{chance.randrange(1000)}\n" for _ in range(60)]
    for trees in (2, 20, 22, 50):
        job = Job.lay_out(tmp_path / str(trees), project).hyperparameters(n_estimators=str(trees))
        job.data("diagnosis,a,b\n" + "".join(lines)).without("input/data/validation")
        done = job.run()
        assert done.returncode == 0, done.stderr


def test_the_signature_has_the_form_of_the_answer_too(project: Path, tmp_path: Path) -> None:
    """T-47: as the model answered after training; the server tells it to those who ask."""
    job = Job.lay_out(tmp_path, project)
    assert job.run().returncode == 0
    kept = json.loads((job.tree / "model/signature.json").read_bytes())
    assert kept["answer"] == {
        "label": {"kind": "text", "shape": []},
        "probability_benign": {"kind": "number", "shape": []},
        "probability_malignant": {"kind": "number", "shape": []},
    }
    schema = of_model(SimpleNamespace(predict=predict_array), None, job.tree / "model")
    content = openapi.describe(schema)["paths"]["/invocations"]["post"]["responses"]["200"]["content"]
    properties = content["application/json"]["schema"]["properties"]["predictions"]["items"]["properties"]
    assert properties["label"] == {"type": ["string"]}


def test_the_form_of_an_answer_is_told() -> None:
    """T-47: vectors, and what has no one form."""
    columns = as_columns({"p": np.ones((2, 3, 4)), "flag": [True, False], "any": [[1], [2, 3]]}, 2)
    assert describe(columns) == {
        "p": {"kind": "number", "shape": [3, 4]},
        "flag": {"kind": "boolean", "shape": []},
        "any": {"kind": "any", "shape": []},
    }


def test_tables_reads_only_what_it_is_given(tmp_path: Path) -> None:
    """T-24: no files, no rows."""
    with pytest.raises(UserError, match="has no rows"):
        Tables("c", []).features()


def test_a_pipe_is_split_as_files_are(tmp_path: Path) -> None:
    """T-23: it can be read once, and what its columns hold is decided over all rows all the same."""
    os.mkfifo(tmp_path / "training_0")
    text = "zip,y\n" + "01,x\n" * 3 + "1a,z\n"
    writer = threading.Thread(target=(tmp_path / "training_0").write_text, args=[text])
    writer.start()
    rows, labels = Channel("training", tmp_path / "training", "Pipe").split("y", "classes")
    writer.join()
    assert rows["zip"].tolist() == ["01", "01", "01", "1a"]
    assert labels.tolist() == ["x", "x", "x", "z"]
