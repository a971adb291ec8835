"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys

import pytest

from unet_med._files import PARTIAL_PREFIX, atomic_path, sha256_file, write_json
from unet_med.errors import OutputError


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "folder" / "mask.nii.gz"
    with atomic_path(target) as partial:
        partial.write_bytes(b"all of it")
        assert not target.exists()
        assert partial.parent == target.parent
        assert partial.name.startswith(PARTIAL_PREFIX)
        assert partial.name.endswith(".nii.gz")
    assert target.read_bytes() == b"all of it"
    assert names_in(target.parent) == ["mask.nii.gz"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OutputError])
def test_a_failed_block_leaves_what_was_there(tmp_path, error):
    target = tmp_path / "mask.nii"
    target.write_bytes(b"before")
    with pytest.raises(error, match="stop"), atomic_path(target) as partial:  # noqa: PT012 - both belong
        partial.write_bytes(b"half")
        raise error(*["stop"])
    assert target.read_bytes() == b"before"
    assert names_in(tmp_path) == ["mask.nii"]


def test_a_full_disk_is_one_line(tmp_path):
    target = tmp_path / "mask.nii"
    with pytest.raises(OutputError) as caught, atomic_path(target) as partial:  # noqa: PT012
        partial.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    text = (
        f"cannot write {target}: No space left on device; check the folder, rights and free space"
    )
    assert str(caught.value) == text
    assert names_in(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(OutputError, match="cannot write"),
        atomic_path(tmp_path / "file" / "x.json"),
    ):
        pass


def test_a_block_that_writes_nothing(tmp_path):
    with pytest.raises(OutputError, match="cannot write"), atomic_path(tmp_path / "x.json"):
        pass
    assert names_in(tmp_path) == []


def test_the_longest_possible_name(tmp_path):
    target = tmp_path / ("x" * 248 + ".nii.gz")
    with atomic_path(target) as partial:
        partial.write_bytes(b"1")
        assert partial.name.endswith(".nii.gz")
    assert target.read_bytes() == b"1"


def test_a_killed_process_leaves_only_a_hidden_file(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from unet_med._files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as partial:\n"
        "    partial.write_bytes(b'half'); os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "mask.nii")], check=False)
    assert done.returncode == 9
    (left,) = names_in(tmp_path)
    assert left.startswith(PARTIAL_PREFIX)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 21) + 5])
def test_digests(tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_json_is_readable_by_people_and_machines(tmp_path):
    content = {"name": "Ödem", "values": [1, None, 0.5]}
    write_json(tmp_path / "a" / "x.json", content)
    text = (tmp_path / "a" / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert "Ödem" in text
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_is_no_json(tmp_path, value):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"dice": value})
    assert names_in(tmp_path) == []


def test_lists_of_numbers_stand_on_one_line_and_nothing_else_changes(tmp_path):
    content = {
        "numbers": [1, -2.5, None, 1e-9, 3],
        "text": ["[ 1, 2 ]", "[\n1,\n2\n]"],
        "nested": [[1, 2], [], {"a": [0.5]}],
        "one": [7],
    }
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert '"numbers": [1, -2.5, null, 1e-09, 3],\n' in text
    assert '"one": [7]' in text
