"""Loading a bundle: only what was exported, and only where it computes the same."""

import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from reach_rl.deploy import Bundle, BundleError


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def rewrite(folder, change, names=()):
    contract = json.loads((folder / "contract.json").read_text())
    change(contract)
    for name in names:
        contract["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "contract.json").write_text(json.dumps(contract))


def test_what_the_contract_says(bundle):
    contract = bundle.contract
    assert contract.robot == "ur5e" and len(contract.joints) == 6
    assert contract.period == 0.02 and contract.path_times[-1] == pytest.approx(0.02)
    assert contract.state == {}
    assert (contract.low < contract.high).all() and np.isfinite(contract.low).all()


def test_every_file_is_checked(copy):
    for name in ("policy.onnx", "golden.npz", "config.yaml"):
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(BundleError, match=f"{name} is not the file that was exported"):
            Bundle(copy)
        (copy / name).write_bytes(data)
    Bundle(copy)
    (copy / "policy.onnx").unlink()
    with pytest.raises(BundleError, match=r"policy\.onnx: No such file"):
        Bundle(copy)


def test_another_version_and_a_damaged_contract(copy, tmp_path):
    rewrite(copy, lambda contract: contract.update(format=3))
    with pytest.raises(BundleError, match="format 3, this controller reads 1"):
        Bundle(copy)
    rewrite(copy, lambda contract: (contract.update(format=1), contract.pop("limits")))
    with pytest.raises(BundleError, match=r"contract\.json is damaged"):
        Bundle(copy)
    (copy / "contract.json").write_text("{")
    with pytest.raises(BundleError, match=r"contract\.json is damaged"):
        Bundle(copy)
    with pytest.raises(BundleError, match=r"contract\.json: No such file"):
        Bundle(tmp_path / "nothing")


def test_a_machine_that_computes_otherwise_is_found_out(copy):
    with np.load(copy / "golden.npz") as file:
        golden = {name: file[name].copy() for name in file.files}
    golden["output.joint_path"][3, 0, 2] += 1e-3
    np.savez(copy / "golden.npz", **golden)
    rewrite(copy, lambda contract: None, ["golden.npz"])
    with pytest.raises(BundleError, match=r"joint_path differs by 0\.001"):
        Bundle(copy)


def test_it_runs_without_the_rest_of_the_project(folder):
    """A robot's computer has numpy and onnxruntime."""
    code = f"""
import sys
for name in ("torch", "mujoco", "gymnasium", "stable_baselines3", "hydra", "omegaconf", "yaml",
             "rich", "onnx", "matplotlib", "scipy"):
    sys.modules[name] = None
from reach_rl.deploy import Bundle
bundle = Bundle({str(folder)!r})
ours = [m for m in sys.modules if m.startswith("reach_rl.")]
print([m for m in ours if not m.startswith("reach_rl.deploy")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
