"""Rows of measured points: read, predicted, scored, and the command that does it."""

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.commands import app
from planner.architecture import Precision
from planner.measured import (
    Answer,
    Row,
    answer,
    deployment_of,
    load_of,
    mean_error,
    parse,
    read_rows,
    scores,
)
from planner.predict import predict
from stack.errors import InputError

ROWS = Path(__file__).parent / "planner_rows.csv"
POINT = {
    "model_path": "Qwen/Qwen3-30B-A3B",
    "system": "h200_sxm",
    "isl": "1024",
    "osl": "128",
    "batch_size": "4",
    "tp_size": "1",
}


def answers() -> list[Answer]:
    _, rows = read_rows(ROWS)
    return [answer(parse(values, line)) for line, values in enumerate(rows, start=2)]


def test_a_dozen_measured_rows_are_predicted_within_the_error_that_is_claimed() -> None:
    found = answers()
    assert len(found) == 12
    (overall, *groups) = scores(found)
    assert overall.rows == 12
    assert overall.tpot < 0.08
    assert overall.ttft < 0.20
    assert {group.group for group in groups} >= {"Qwen/Qwen3-32B", "h200_sxm", "tp8"}


def test_most_measured_rows_lie_in_their_interval() -> None:
    inside = 0
    for each in answers():
        found = predict(deployment_of(each.row), load_of(each.row))
        assert found.validated
        low, high = found.interval.tpot_ms
        inside += low <= (each.row.silicon_tpot_ms or 0) <= high
    assert inside >= 11


def test_mean_error_is_that_of_the_share_and_skips_what_is_missing() -> None:
    assert mean_error([(11.0, 10.0), (5.0, 10.0), (None, 1.0), (1.0, None)]) == pytest.approx(0.3)
    assert mean_error([]) == 0


def test_expert_and_data_parallel_columns_are_honoured() -> None:
    values = POINT | {"tp_size": "1", "moe_tp_size": "1", "moe_ep_size": "8"}
    row = parse(values | {"attention_dp_size": "8"}, 2)
    layout = deployment_of(row).layout
    assert (layout.tensor, layout.expert, layout.attention_data, layout.ranks) == (1, 8, 8, 8)
    assert row.split == "tp1xep8xdp8"
    assert answer(row).tpot_ms is not None


def test_expert_ranks_follow_from_what_tensor_ranks_leave_where_no_column_tells() -> None:
    row = parse(POINT | {"tp_size": "4", "moe_tp_size": "2"}, 2)
    assert deployment_of(row).layout.expert == 2


@pytest.mark.parametrize(
    ("told", "model", "precision"),
    [
        ("", "Qwen/Qwen3-32B", Precision.BF16),
        ("", "Qwen/Qwen3-32B-FP8", Precision.FP8),
        ("fp8", "Qwen/Qwen3-32B", Precision.FP8),
        ("fp4", "openai/gpt-oss-120b", Precision.MXFP4),
        ("nvfp4", "meta-llama/Llama-3.1-70B", Precision.NVFP4),
        ("int4_wo", "Qwen/Qwen3-32B", Precision.INT4),
    ],
)
def test_an_empty_precision_is_the_checkpoints_own(
    told: str, model: str, precision: Precision
) -> None:
    row = parse(POINT | {"model_path": model, "precision": told}, 2)
    assert deployment_of(row).precision is precision


def test_rows_of_inferencemax_vary_their_lengths_and_others_do_not() -> None:
    theirs = parse(POINT | {"precision": "fp8", "osl": "1024"}, 2)
    plain = parse(POINT, 2)
    old = parse(POINT | {"backend_version": "0.12.0"}, 2)
    assert load_of(theirs).spread == 0.2
    assert load_of(plain).spread == 0
    assert load_of(plain).input_tokens == 1024
    assert deployment_of(plain).settings.async_scheduling
    assert not deployment_of(old).settings.async_scheduling


def test_an_engine_that_aiconfigurator_set_up_takes_a_prompt_and_every_answer_in_a_step() -> None:
    row = parse(POINT | {"backend_version": "0.12.0"}, 2)
    assert deployment_of(row).settings.max_num_batched_tokens == 1024 + 4
    assert load_of(row).input_tokens == 1024 + 8
    assert load_of(row).spread == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"isl": "long"}, "line 7: column isl = 'long', but input should be a valid integer"),
        ({"tp_size": "0"}, "column tp_size = '0', but input should be greater than 0"),
        ({"osl": ""}, "column osl = '', but field required"),
    ],
)
def test_a_row_that_is_none_is_refused_with_line_and_column(
    change: dict[str, str], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        parse(POINT | change, 7)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model_path": "acme/unheard-of"}, "is not in the planner's catalogue"),
        ({"system": "abacus"}, "is not in the planner's catalogue"),
        ({"precision": "fp3"}, "precision 'fp3' is not known"),
        ({"isl": "9000000"}, "leaves room for"),
    ],
)
def test_a_row_that_cannot_be_predicted_says_why(change: dict[str, str], why: str) -> None:
    found = answer(parse(POINT | change, 2))
    assert found.ttft_ms is None
    assert why in found.why_not


def test_a_row_without_a_version_schedules_ahead() -> None:
    assert Row.model_validate(POINT).schedules_ahead


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["predict", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_the_command_adds_two_columns_to_every_row() -> None:
    status, text = run(str(ROWS))
    columns, rows = read_rows(ROWS)
    written = list(csv.DictReader(io.StringIO(text)))
    assert status == 0
    assert list(written[0]) == [*columns, "predicted_ttft_ms", "predicted_tpot_ms"]
    assert [{name: row[name] for name in columns} for row in written] == rows
    assert all(float(row["predicted_tpot_ms"]) > 0 for row in written)


def test_the_command_writes_a_file_and_reads_it_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    assert run(str(ROWS), "-o", str(first)) == (0, "")
    assert run(str(first), "-o", str(second)) == (0, "")
    assert second.read_text() == first.read_text()


def test_the_command_scores() -> None:
    status, text = run(str(ROWS), "--score", "--json")
    overall = json.loads(text)[0]
    assert status == 0
    assert overall["group"] == "all"
    assert overall["rows"] == 12
    assert 0 < overall["tpot"] < 0.1


def test_the_command_refuses_what_are_no_rows(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("model_path,system\n")
    with pytest.raises(InputError, match="has no rows"):
        run(str(empty))
    with pytest.raises(InputError, match="cannot be read as CSV"):
        run(str(tmp_path / "absent.csv"))


def test_rows_that_cannot_be_predicted_do_not_hold_back_the_others(tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.csv"
    output = tmp_path / "out.csv"
    with mixed.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(POINT))
        writer.writeheader()
        writer.writerows([POINT, POINT | {"model_path": "acme/unheard-of"}])
    with pytest.raises(Exception, match="1 of 2 rows have no prediction"):
        run(str(mixed), "-o", str(output))
    first, second = csv.DictReader(io.StringIO(output.read_text()))
    assert first["predicted_ttft_ms"]
    assert not second["predicted_ttft_ms"]
