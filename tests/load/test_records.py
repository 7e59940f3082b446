"""The file of a worker: what was written is read again, and a file that ends badly loses its last record only."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sim.worlds.load.packed import PackedFile, unpacked
from sim.worlds.load.records import SUFFIX, Recorded, Recorder, RecordFile


def written(folder: Path) -> Path:
    """Three operations: answered, refused, unknown; and one that never ended."""
    recorder = Recorder(folder, "w1")
    now_s = time.monotonic()
    for end in ("ok", "fail", "unknown", ""):
        op = recorder.next_op()
        recorder.begin(op, "delegate", "ann", {"target": "bob"}, due_s=now_s - 1)
        if end == "ok":
            recorder.ok(op, 202, {"delegation_id": "ü\t\n"})
        elif end == "fail":
            recorder.fail(op, "refused")
        elif end == "unknown":
            recorder.unknown(op, "reset", 200)
    recorder.close()
    return folder / f"w1{SUFFIX}"


def read(path: Path) -> tuple[list[Recorded], list[str]]:
    """All operations, and what is missing."""
    file = RecordFile(path, time.monotonic() - 100, time.time() - 100)
    return list(file.operations()), file.troubles


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    operations, troubles = read(written(tmp_path))
    assert [each.outcome for each in operations] == ["ok", "fail", "unknown", "open"]
    assert [each.status for each in operations] == [202, None, 200, None]
    assert operations[0].said == {"delegation_id": "ü\t\n"} and operations[2].said == "reset"
    assert [each.op for each in operations] == ["w1-1", "w1-2", "w1-3", "w1-4"]
    assert not troubles
    for each in operations:
        assert each.due_s <= each.began_s - 0.9


@pytest.mark.parametrize("together", [1, 3, 100])
def test_what_was_packed_is_unpacked(tmp_path: Path, together: int) -> None:
    operations, _ = read(written(tmp_path))
    values = [*map(tuple, operations), "\t\n\ud800", {"a": [1, 2.5, None, True]}, 1 << 70]
    file = PackedFile(tmp_path / "packed", together=together)
    for value in values:
        file.add(value)
    file.close()
    assert list(unpacked(file.path)) == values
    assert [Recorded(*each) for each in list(unpacked(file.path))[:4]] == operations


def test_a_worker_has_one_file(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(FileExistsError):
        Recorder(tmp_path, "w1")


def test_a_file_may_be_cut_anywhere(tmp_path: Path) -> None:
    """Whatever was whole is read, at most the last record is lost, and it is always said that something is missing."""
    path = written(tmp_path)
    data = path.read_bytes()
    all_of_it, _ = read(path)
    for size in range(len(data)):
        path.write_bytes(data[:size])
        operations, troubles = read(path)
        assert troubles
        ends_within_a_line = size > 0 and data[size - 1 : size] != b"\n"
        assert any("cut in the middle of a record" in each for each in troubles) == ends_within_a_line
        whole = data[:size].count(b"\n")
        assert len(operations) == sum(json.loads(line)[0] == "b" for line in data.split(b"\n")[:whole])
        known = {each.op: each.outcome for each in all_of_it}
        assert all(each.outcome in (known[each.op], "open") for each in operations)


@pytest.mark.parametrize("line", [b"{}\n", b"[]\n", b"nonsense\n", b'["o","w9-9",1,200,null]\n', b'["b"]\n', b"\xff\n"])
def test_a_line_that_is_no_record_is_named_and_skipped(tmp_path: Path, line: bytes) -> None:
    path = written(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], line, *lines[3:]]))
    operations, troubles = read(path)
    assert len(operations) == 4
    assert troubles == ["w1.records: line 4 is no record of a load"]


def test_the_clock_of_another_machine_is_joined_by_the_wall_clocks(tmp_path: Path) -> None:
    path = written(tmp_path)
    first, *others = path.read_text().splitlines()
    header = json.loads(first)
    header[2], header[4] = header[2] + 5000, "elsewhere"  # its monotonic clock reads something else
    path.write_text("\n".join([json.dumps(header), *others]) + "\n")
    operations, _ = read(path)
    assert all(each.due_s <= 0.0 and each.began_s == 0.0 for each in operations)  # 5000 s before the run: clamped
    header[2] -= 5000
    path.write_text("\n".join([json.dumps(header), *others]) + "\n")
    operations, _ = read(path)
    assert all(90 < each.began_s < 110 for each in operations)
