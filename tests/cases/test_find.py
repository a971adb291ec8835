from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.batch_helpers import write_scan
from unet_med.cases import find_cases
from unet_med.errors import InputError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def keys(*inputs, n_channels=1, output=None, **more):
    return [
        case.key for case in find_cases(inputs, n_channels=n_channels, output=output, **more).cases
    ]


def test_a_folder_is_searched_below_in_order_and_keeps_relative_folders(tmp_path):
    for name in ("b.nii.gz", "a.nii", "sub/deep/c.v2.nii.gz", "A.NII.GZ"):
        touch(tmp_path / name)
    for other in ("notes.txt", "a.json", "ledger.jsonl", ".hidden.nii.gz", ".git/x.nii",
                  ".unet_med-partial-0123.a.nii.gz", ".nii.gz"):  # fmt: skip
        touch(tmp_path / other)
    found = find_cases([tmp_path], n_channels=1, output=None)
    assert [case.key for case in found.cases] == ["A", "a", "b", "sub/deep/c.v2"]
    assert found.cases[3].paths == (tmp_path / "sub/deep/c.v2.nii.gz",)
    assert found.rule == "one per file"
    assert not any(case.problem for case in found.cases)


def test_files_and_folders_named_twice_are_one_case(tmp_path):
    scan = touch(tmp_path / "a.nii")
    assert keys(scan, tmp_path, str(scan)) == ["a"]


def test_a_glob_keeps_folders_below_its_first_wildcard(tmp_path):
    for name in ("p1/t1.nii", "p2/t1.nii", "p2/t2.nii"):
        touch(tmp_path / name)
    assert keys(f"{tmp_path}/*/t1.nii") == ["p1/t1", "p2/t1"]
    assert keys(f"{tmp_path}/**/*.nii") == ["p1/t1", "p2/t1", "p2/t2"]
    assert keys(f"{tmp_path}/p*") == ["p1/t1", "p2/t1", "p2/t2"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path):
    touch(tmp_path / "a.nii")
    assert keys(touch(tmp_path / "[a].nii")) == ["[a]"]


def test_loops_of_links_end_and_real_folders_keep_their_names(tmp_path):
    touch(tmp_path / "z" / "a.nii")
    (tmp_path / "link").symlink_to(tmp_path / "z", target_is_directory=True)
    (tmp_path / "z" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert keys(tmp_path) == ["z/a"]


def test_patterns_end_too_where_links_loop(tmp_path):
    touch(tmp_path / "a" / "images" / "x.nii")
    touch(tmp_path / "b" / "y.nii")
    for folder in ("a", "b", "a/images"):
        for n in range(4):
            (tmp_path / folder / f"up{n}").symlink_to(tmp_path, target_is_directory=True)
    assert keys(f"{tmp_path}/**/*.nii") == ["a/images/x", "b/y"]
    assert keys(f"{tmp_path}/**/images") == ["a/images/x"]
    assert keys(f"{tmp_path}/?/**") == ["a/images/x", "b/y"]
    assert keys(f"{tmp_path}/[a]/**/x.*") == ["a/images/x"]


def test_a_link_to_nothing_is_a_case_and_a_pipe_is_none(tmp_path):
    (tmp_path / "gone.nii.gz").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    assert keys(tmp_path) == ["gone"]


def test_two_inputs_with_one_name_are_refused_with_both_names(tmp_path):
    one, two = touch(tmp_path / "s" / "a.nii"), touch(tmp_path / "s" / "a.nii.gz")
    with pytest.raises(InputError, match=f"{one} and {two} would both"):
        find_cases([tmp_path], n_channels=1, output=None)


def test_a_header_and_its_voxel_file_are_one_case(tmp_path):
    touch(tmp_path / "a.img")
    assert keys(touch(tmp_path / "a.hdr").parent) == ["a"]


@pytest.mark.parametrize("inside", [".", "out", "sub/out"])
def test_an_output_inside_an_input_is_refused(tmp_path, inside):
    touch(tmp_path / "a.nii")
    with pytest.raises(InputError, match="the input folder"):
        find_cases([tmp_path], n_channels=1, output=tmp_path / inside)
    with pytest.raises(InputError, match="the input folder"):
        find_cases([f"{tmp_path}/**/*.nii"], n_channels=1, output=tmp_path / inside)


def test_an_output_that_is_a_link_into_the_input_is_refused(tmp_path):
    touch(tmp_path / "in" / "a.nii")
    (tmp_path / "in" / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in" / "out")
    with pytest.raises(InputError, match="lies in the input folder"):
        find_cases([tmp_path / "in"], n_channels=1, output=tmp_path / "link")


def test_outputs_beside_files_and_around_inputs_are_fine(tmp_path):
    scan = touch(tmp_path / "in" / "a.nii")
    assert keys(scan, output=tmp_path / "in" / "out") == ["a"]
    assert keys(tmp_path / "in", output=tmp_path) == ["a"]


def test_nothing_found_says_what_was_looked_for_and_what_is_there(tmp_path):
    touch(tmp_path / "scan_01.nii.gz")
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "pics" / "a.png")
    for given, text in [
        ("scan_1.nii.gz", r"does not exist; did you mean scan_01\.nii\.gz\?"),
        ("no/folder/a.nii", "nor does its folder"),
        ("empty", r"no volume \(\.nii\.gz, .*it is empty"),
        ("pics", "it holds a.png"),
        ("pics/a.png", "its name ends in none of"),
        ("*.mha", "no file matches the pattern"),
    ]:
        with pytest.raises(InputError, match=text):
            find_cases([str(tmp_path / given)], n_channels=1, output=None)
    with pytest.raises(InputError, match="no input was given"):
        find_cases([], n_channels=1, output=None)


def test_one_missing_input_among_others_is_a_failed_case(tmp_path):
    found = find_cases([touch(tmp_path / "a.nii"), "gone/b.nii"], n_channels=1, output=None)
    problems = {case.key: case.problem for case in found.cases}
    assert problems["a"] is None
    assert "gone/b.nii does not exist" in problems["b.nii"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    touch(tmp_path / "a.nii")
    (tmp_path / "closed").mkdir(mode=0)
    found = find_cases([tmp_path], n_channels=1, output=None)
    assert [case.problem is None for case in found.cases] == [True, False]


class TestChannels:
    def test_suffixes_make_a_case_in_channel_order(self, tmp_path):
        for name in ("p_0001.nii.gz", "p_0000.nii", "sub/q_x_0000.nii", "sub/q_x_0001.nii"):
            touch(tmp_path / name)
        found = find_cases([tmp_path], n_channels=2, output=None)
        assert {case.key: [path.name for path in case.paths] for case in found.cases} == {
            "p": ["p_0000.nii", "p_0001.nii.gz"],
            "sub/q_x": ["q_x_0000.nii", "q_x_0001.nii"],
        }
        assert found.rule == "2 by suffix _0000 to _0001"

    def test_a_missing_a_surplus_and_a_doubled_channel_are_one_cases_problem(self, tmp_path):
        for name in ("a_0000", "a_0001", "b_0001", "c_0000", "c_0001", "c_0002"):
            touch(tmp_path / f"{name}.nii")
        for name in ("d_0000.nii", "d_0000.nii.gz", "d_0001.nii"):
            touch(tmp_path / name)
        found = find_cases([tmp_path], n_channels=2, output=None, channel_names=("T1", "FLAIR"))
        problems = {case.id: case.problem for case in found.cases}
        assert problems.pop("a") is None
        assert "channel _0000 (T1) of case b is missing" in problems["b"]
        assert "has channel _0002, but the recipe takes 2" in problems["c"]
        assert "twice: d_0000.nii and d_0000.nii.gz" in problems["d"]

    def test_a_subfolder_of_one_file_per_channel_is_a_case(self, tmp_path):
        for name in ("day1/p1/x.nii", "day1/p1/y.nii"):
            write_scan(tmp_path / name)
        found = find_cases([tmp_path], n_channels=2, output=None)
        (case,) = found.cases
        assert case.key == "day1/p1"
        assert [path.name for path in case.paths] == ["x.nii", "y.nii"]
        assert found.rule == "1 by sub-folder of 2 files, channels in the order of their names"

    def test_channel_names_in_file_names_decide_the_order(self, tmp_path):
        for name in ("p/p_flair.nii", "p/p-T1.nii"):
            write_scan(tmp_path / name)
        found = find_cases([tmp_path], n_channels=2, output=None, channel_names=("T1", "FLAIR"))
        assert [path.name for path in found.cases[0].paths] == ["p-T1.nii", "p_flair.nii"]
        assert "the channel names" in found.rule

    def test_folders_named_as_the_channels_hold_one_channel_each(self, tmp_path):
        """With as many cases as channels each folder could pass for a case of its own."""
        for name in ("T2/a.nii", "T2/w/b.nii", "t1/a.nii.gz", "t1/w/b.nii", "t1/c.nii"):
            touch(tmp_path / name)
        touch(tmp_path / "T2/c.nii")
        touch(tmp_path / "T2/c.nii.gz")
        touch(tmp_path / "T2/d.nii")
        found = find_cases([tmp_path], n_channels=2, output=None, channel_names=("T1", "T2"))
        cases = {case.key: case for case in found.cases}
        assert cases["a"].paths == (tmp_path / "t1/a.nii.gz", tmp_path / "T2/a.nii")
        assert cases["w/b"].paths == (tmp_path / "t1/w/b.nii", tmp_path / "T2/w/b.nii")
        assert "has a channel twice" in cases["c"].problem
        assert "channel T1 of case d is missing" in cases["d"].problem
        assert found.rule == "4 by one sub-folder per channel (T1, T2)"

    def test_files_of_one_channels_folder_are_never_the_channels_of_a_case(self, tmp_path):
        for name in ("T1/a.nii", "T1/b.nii", "more/T2/a.nii", "more/T2/b.nii"):
            write_scan(tmp_path / name)
        found = find_cases([tmp_path], n_channels=2, output=None, channel_names=("T1", "T2"))
        assert [case.key for case in found.cases] == ["T1/a", "T1/b", "more/T2/a", "more/T2/b"]

    def test_other_files_are_4d_cases(self, tmp_path):
        for name in ("sub/a.nii", "sub/b.nii"):  # two of them, but 4D: two cases, not one
            write_scan(tmp_path / name, shape=(4, 3, 2, 2))
        write_scan(tmp_path / "c.nii", shape=(4, 3, 2, 2))
        found = find_cases([tmp_path], n_channels=2, output=None)
        assert [case.key for case in found.cases] == ["c", "sub/a", "sub/b"]
        assert found.rule == "3 by 4D file"

    def test_suffixes_mean_nothing_to_a_recipe_with_one_channel(self, tmp_path):
        touch(tmp_path / "a_0000.nii")
        assert keys(tmp_path) == ["a_0000"]


def test_patterns_are_taken_relative_to_the_current_folder(tmp_path, monkeypatch):
    touch(tmp_path / "in" / "a.nii")
    monkeypatch.chdir(tmp_path)
    (case,) = find_cases(["in/*.nii"], n_channels=1, output=Path("out")).cases
    assert case.paths == (Path("in/a.nii"),)
