"""Versions that were made for each other, that were not, and that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from npu_dump.doctor import pairs

from .doctor_support import NO_TORCH, Environment


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    environment = Environment(tmp_path)
    environment.package("torch", NO_TORCH)
    environment.package("torch_npu", NO_TORCH)
    return environment


def fits(here: Environment, cann: str | None = None, **versions: str) -> dict[str, str]:
    for name, version in versions.items():
        here.installed(name, version)
    told = here.doctor(**(here.cann(cann) if cann else {}))
    for check in told.checks.values():
        # What is not fine says what to do.
        assert check["status"] in ("ok", "not-run") or check["next"]
    return {name[4:]: check["status"] for name, check in told.checks.items() if name.startswith("fit/")}


def test_what_belongs_together(here: Environment) -> None:
    """A line of vllm-ascend's table, of 2026: v0.18.0 with vLLM v0.18.0, CANN 8.5.1, torch_npu 2.9.0.post1."""
    versions = {
        "torch": "2.9.0+cpu",
        "torch_npu": "2.9.0.post1+git4c901a4",
        "vllm": "0.18.0",
        "vllm-ascend": "0.18.0",
    }
    assert fits(here, "8.5.1", **versions) == {
        "torch_npu-torch": "ok",
        "torch_npu-python": "ok",
        "torch_npu-cann": "ok",
        "vllm_ascend-vllm": "ok",
        "vllm_ascend-torch_npu": "ok",
    }


def test_what_a_report_of_an_adaptation_claims_to_have_used(here: Environment) -> None:
    """torch_npu 2.5.1.post1 is listed with CANN 8.2.RC1, and vllm-ascend 0.18.0 with torch_npu 2.9.0.post1."""
    versions = {"torch": "2.5.1", "torch_npu": "2.5.1.post1", "vllm": "0.18.0", "vllm-ascend": "0.18.0"}
    found = fits(here, "8.5.1", **versions)
    assert found["torch_npu-torch"] == "ok"
    assert found["torch_npu-cann"] == "warning"
    assert found["vllm_ascend-vllm"] == "ok"
    assert found["vllm_ascend-torch_npu"] == "warning"


@pytest.mark.parametrize(
    ("cann", "versions", "name", "status"),
    [
        (None, {"torch": "2.8.0", "torch_npu": "2.7.1.post2"}, "torch_npu-torch", "fail"),
        (None, {"torch": "2.7.0", "torch_npu": "2.7.1"}, "torch_npu-torch", "fail"),
        (None, {"torch": "2.15.0", "torch_npu": "2.15.0"}, "torch_npu-torch", "warning"),
        (None, {"torch": "2.9.0", "torch_npu": "2.9.0.post77"}, "torch_npu-torch", "warning"),
        (None, {"torch": "2.15.0", "torch_npu": "2.15.0"}, "torch_npu-python", "warning"),
        ("8.5.0.B110", {"torch": "2.9.0", "torch_npu": "2.9.0"}, "torch_npu-cann", "ok"),
        ("8.1.rc1", {"torch": "2.5.1", "torch_npu": "2.5.1"}, "torch_npu-cann", "ok"),
        ("9.9.9", {"torch": "2.9.0", "torch_npu": "2.9.0"}, "torch_npu-cann", "warning"),
        ("8.5.0", {"torch": "2.15.0", "torch_npu": "2.15.0"}, "torch_npu-cann", "warning"),
        (None, {"vllm": "0.17.0", "vllm-ascend": "0.18.0"}, "vllm_ascend-vllm", "fail"),
        (None, {"vllm": "0.18.0+empty", "vllm-ascend": "0.18.0rc1"}, "vllm_ascend-vllm", "ok"),
        (None, {"vllm": "0.14.1", "vllm-ascend": "0.14.0rc1"}, "vllm_ascend-vllm", "ok"),
        (None, {"vllm": "0.99.0", "vllm-ascend": "0.99.0"}, "vllm_ascend-vllm", "warning"),
        (None, {"vllm-ascend": "0.18.0"}, "vllm_ascend-vllm", "fail"),
    ],
)
def test_pairs(here: Environment, cann: str | None, versions: dict[str, str], name: str, status: str) -> None:
    assert fits(here, cann, **versions)[name] == status


def test_what_no_table_has_is_called_unknown(here: Environment) -> None:
    here.installed("torch", "2.15.0")
    here.installed("torch_npu", "2.15.0")
    found = here.doctor(**here.cann("10.0.0")).checks
    for name in ("fit/torch_npu-torch", "fit/torch_npu-python", "fit/torch_npu-cann"):
        assert found[name]["summary"].startswith("unknown: ")
        assert "COMPATIBILITY.md" in found[name]["next"]


def test_cann(here: Environment, tmp_path: Path) -> None:
    told = here.doctor()
    assert told.status("cann") == "fail"
    assert "set_env.sh" in told.checks["cann"]["next"]
    told = here.doctor(ASCEND_HOME_PATH=str(tmp_path / "absent"))
    assert told.status("cann") == "fail"
    assert "not there" in told.checks["cann"]["summary"]
    told = here.doctor(ASCEND_HOME_PATH=str(tmp_path))
    assert told.status("cann") == "warning"
    assert "of unknown version" in told.checks["cann"]["summary"]
    assert here.doctor(**here.cann("8.5.1")).checks["cann"]["figures"]["version"] == "8.5.1"


def test_a_folder_in_reach_of_the_import_is_no_installed_package(here: Environment, tmp_path: Path) -> None:
    (tmp_path / "vllm").mkdir()
    told = here.doctor()
    assert told.checks["vllm"]["summary"] == "not installed"


def test_versions_are_strangers_texts(here: Environment) -> None:
    here.installed("vllm", "0.1\x1b[2J")
    here.installed("torch_npu", "\u202e1.2")
    shown = here.shown()
    assert "0.1\\x1b[2J" in shown
    assert not {"\x1b", "\u202e"} & set(shown)


def test_the_tables_agree_with_each_other() -> None:
    """Each torch_npu of vllm-ascend is a build of a torch for which some Python is known."""
    for release in pairs.VLLM_ASCEND.values():
        assert pairs.base(release.torch_npu) in pairs.PYTHON_OF_TORCH
        assert pairs.public_cann(release.cann) == release.cann
    for torch_npu, cann in pairs.CANN_OF_TORCH_NPU.items():
        assert pairs.base(torch_npu) in pairs.PYTHON_OF_TORCH
        assert {pairs.public_cann(version) for version in cann} == cann
