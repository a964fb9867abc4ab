"""Compares what write_logits_cases saved with what h5py and NumPy make of it: check_logits_cases.py FOLDER."""
import json
import pathlib
import sys

import h5py
import numpy as np

from numpy_logits import logits

TOLERANCE = 1e-4


def check(case):
    expected = json.loads(case.read_text())
    checkpoint = case.with_suffix("")
    names = {}
    for parameter in expected["parameters"]:
        names.setdefault(parameter["file"], set()).add(parameter["name"])
        with h5py.File(checkpoint / parameter["file"]) as file:
            dataset = file[parameter["name"]]
            assert list(dataset.shape) == parameter["shape"], parameter
            assert dataset.dtype == np.dtype("<f4") and dataset.fletcher32, parameter
            assert dataset[...].flat[0] == np.float32(parameter["first"]), parameter
            assert dataset[...].flat[-1] == np.float32(parameter["last"]), parameter
    for path, expected_names in names.items():
        with h5py.File(checkpoint / path) as file:
            assert set(file) == expected_names, (path, set(file) ^ expected_names)
            assert file.attrs["format_version"] == 1, path
    with h5py.File(checkpoint / "model.h5") as file:
        assert list(file.attrs["domains"]) == [b"legal", b"med"], file.attrs["domains"]

    here = logits(checkpoint, expected["tokens"], expected["expert"])
    there = np.reshape(expected["logits"], here.shape)
    error = abs(here - there).max()
    assert error < TOLERANCE, f"logits differ by {error}"
    if expected["expert"]:
        other = logits(checkpoint, expected["tokens"], "med" if expected["expert"] == "legal" else "legal")
        assert abs(other - there).max() > 100 * TOLERANCE, "both experts answer alike"
    assert there.std() > 100 * TOLERANCE, "the logits say nothing"
    print(f"{case.stem}: {len(expected['parameters'])} parameters, logits differ by at most {error:.1e}")


cases = sorted(pathlib.Path(sys.argv[1]).glob("*.json"))
assert len(cases) == 4, f"{len(cases)} cases in {sys.argv[1]}, expected 4"
for each in cases:
    check(each)
