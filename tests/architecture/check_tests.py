"""Every header has a test of its own name: include/demix/X/y.hpp is tested by tests/X/y_test.cpp (or .cu).

usage: check_tests.py SOURCE_DIR

So a failure says where to look. EXCEPTIONS has the others, each with the reason."""

import sys
from pathlib import Path

NOTHING_TO_RUN = "definitions without behaviour; whatever includes it compiles them"
GRADIENTS = "a layer: finite differences of whole models, tests/model/{dense,demix,domain_token}_gradient_test.cpp"
PREPARE = "its parts are steps of demix-prepare: tests/prepare/prepare_{program,failures}_test.cpp"
EXCEPTIONS = {
    "core/host_device.hpp": NOTHING_TO_RUN,
    "core/types.hpp": NOTHING_TO_RUN,
    "version.hpp": "tests/checkpoint/metadata_test.cpp compares it with the project's version",
    "device/concepts.hpp": "tests/device/conformance_test.cpp and the minimal device of archetype.hpp",
    "device/cuda_error.cuh": "tests/device/cuda_test.cu",
    "device/cuda_team.cuh": "tests/device/cuda_test.cu",
    "ops/attention_kernels.cuh": "tests/ops/attention_test.cu",
    "model/concepts.hpp": "tests/model/archetypes_test.cpp",
    "model/workspace.hpp": NOTHING_TO_RUN,
    "model/experiments.hpp": "names of types, which every test of a whole model uses",
    "model/block.hpp": GRADIENTS,
    "model/causal_attention.hpp": GRADIENTS,
    "model/layer_norm.hpp": GRADIENTS,
    "checkpoint/dataset.hpp": "tests/checkpoint/hdf5_test.cpp and damage_test.cpp",
    "prepare/document_index.hpp": "tests/prepare/documents_test.cpp and splits_test.cpp",
    "prepare/input_stream.hpp": "tests/prepare/documents_test.cpp",
    "prepare/decode.hpp": PREPARE,
    "prepare/prepare.hpp": PREPARE,
    "prepare/report.hpp": PREPARE,
    "prepare/settings.hpp": PREPARE,
    "adapt/folder.hpp": "tests/adapt/adaptation_test.cpp",
    "train/progress.hpp": "tests/examples/outputs_test.py",
    "train/trainable_model.hpp": "tests/train/updates_test.cpp and trainer_test.cpp",
    "program/adapt.hpp": "tests/examples/adapt_test.py",
    "program/eval.hpp": "tests/examples/training_test.py",
    "program/mix.hpp": "tests/examples/mix_test.py",
    "program/generate.hpp": "tests/examples/generate_test.py",
    "program/experts.hpp": "tests/examples/experts_test.py",
    "program/prepare.hpp": PREPARE,
    "program/prepare_options.hpp": PREPARE,
}


def complaints(root):
    include = root / "include/demix"
    headers = {str(path.relative_to(include)) for path in [*include.rglob("*.hpp"), *include.rglob("*.cuh")]}
    if not headers:
        yield f"{include}: no headers"
    for header in sorted(headers):
        test = (root / "tests" / header).with_suffix("")
        tested = any(test.with_name(f"{test.name}_test.{suffix}").exists() for suffix in ("cpp", "cu"))
        if not tested and header not in EXCEPTIONS:
            yield f"{header}: there is no {test.relative_to(root)}_test.cpp"
        if tested and header in EXCEPTIONS:
            yield f"{header}: has a test of its own name; take it out of EXCEPTIONS in {Path(__file__).name}"
    for header in sorted(EXCEPTIONS.keys() - headers):
        yield f"{header}: does not exist; take it out of EXCEPTIONS in {Path(__file__).name}"


if __name__ == "__main__":
    found = list(complaints(Path(sys.argv[1])))
    print("\n".join(found) or "tests: every header has one")
    sys.exit(1 if found else 0)
