"""The commands of the original system's README, in order and with its variables, on the names of its tutorial's domains.

There are two: that of the paper's release, which calls tutorial/, and the one before it, which calls scripts/. What a
command wrote must be what demix's programs write when they are called directly with the recipe's options. Left out:
what installs the original (conda, pip) and asks a cluster for nodes (salloc)."""

import json
import os
import subprocess
import unittest
from pathlib import Path

import tiny_data
from programs import ProgramTest, files_of, run

REPOSITORY = Path(__file__).resolve().parents[2]
SIZES = "--layers 1 --d-model 16 --heads 2 --d-ffn 32 --tokens-per-sample 16 --max-update 3 --update-freq 1 --threads 1"
ADAPTATION = "--max-update 2 --batch-size 2 --update-freq 1 --threads 1"
EXPERTS = 8
JQ = """#!/usr/bin/env python3
import json, sys
assert sys.argv[1:] == ["-rc", '.exp_avg_posterior | join(",")'], sys.argv
print(",".join(map(repr, json.loads(sys.stdin.read())["exp_avg_posterior"])))
"""


class ReadmeTest(ProgramTest):
    domains = []  # of the data-bin, in alphabetical order

    def setUp(self):
        super().setUp()
        self.assertEqual((len(self.domains), sorted(self.domains)), (EXPERTS, self.domains))
        tiny_data.write_data_bin(self.folder / "example_domains/data-bin", self.domains, 20)
        # More than the 101 batches of 2 sequences of an estimate.
        tiny_data.write_split(self.folder / "example_domains/data-bin/imdb/valid_imdb", tiny_data.documents(140, 3, 1))
        tiny_data.write_data_bin(self.folder / "new_example_domains/data-bin", ["acl_papers"])
        for name in ("scripts", "tutorial"):
            (self.folder / name).symlink_to(REPOSITORY / name)
        (self.folder / "tools").mkdir()
        (self.folder / "tools/jq").write_text(JQ)
        (self.folder / "tools/jq").chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{self.folder / 'tools'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
            "DATA_DIR": str(self.folder / "example_domains"), "NEW": str(self.folder / "new_example_domains"),
            "DEMIX_TRAIN_OPTIONS": SIZES, "DEMIX_ADAPT_OPTIONS": ADAPTATION}

    def shell(self, commands):
        """All must succeed, in one shell, which keeps what is exported. What they said on stderr."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def lines(self, name):
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def directly(self, program, *arguments):
        """Runs a program of demix as it is."""
        done = run(program, *arguments, cwd=self.folder, env=self.environment)
        self.assertEqual(done.returncode, 0, done.stderr)

    def assert_same_files(self, folder, other):
        """To the last byte; without a list of the bytes that differ."""
        ours, theirs = files_of(folder), files_of(other)
        self.assertEqual(list(ours), list(theirs))
        self.assertGreater(len(ours), 0)
        for name, contents in ours.items():
            self.assertTrue(contents == theirs[name], f"{folder}/{name} differs from that of {other}")

    def check_training(self, run_folder, experiment, arch, batch_size):
        """The run's checkpoint is that of a direct call, to the last byte."""
        again = self.folder / f"again-{experiment}"
        self.directly(f"demix-train-{experiment}", self.folder / "example_domains/data-bin", "--train-domains",
                      ",".join(self.domains), "--arch", arch, "--batch-size", batch_size, "--save-dir", again, *SIZES.split())
        self.assert_same_files(self.folder / run_folder / "checkpoint_3", again / "checkpoint_3")

    def check_evaluation(self, name, checkpoint, domain, split, expert=None, token=None):
        """One line, with three fields; the perplexity is that of a direct call."""
        (line,) = self.lines(name)
        model = f"{checkpoint}/experts/{expert}.h5" if expert else str(checkpoint)
        choice = ["--expert", expert] if expert else ["--domain-token", token] if token else []
        self.directly("demix-eval", "example_domains/data-bin", checkpoint, "--split", split, "--domain", domain,
                      "--json", "direct.json", *choice)
        direct = json.loads((self.folder / "direct.json").read_text())["results"][0]
        self.assertEqual(line, {"model": model, "dataset": f"{split}_{domain}", "ppl": direct["perplexity"]})

    def check_mixture(self, name, data, checkpoint, domain, *options, experts):
        """The lines are those of a direct call, and have the original's fields. Returns them."""
        self.directly("demix-mix", data, checkpoint, "--domain", domain, "--output", "direct.jsonl", "--batch-size", 2,
                      "--posterior", "previous_token", *options)
        lines = self.lines(name)
        self.assertEqual(lines, self.lines("direct.jsonl"))
        for line in lines:
            self.assertLessEqual({"ppl", "posterior", "exp_avg_posterior"}, set(line))
            self.assertEqual(line["experts"], experts)
            for weights in (line["posterior"], line["exp_avg_posterior"]):
                self.assertEqual(len(weights), len(experts))
                self.assertAlmostEqual(sum(weights), 1, places=9)
        return lines

    def check_evaluation_with_the_last(self, estimate, evaluation):
        """The prior of an evaluation is the last one of the estimate, in every line."""
        prior = self.lines(estimate)[-1]["exp_avg_posterior"]
        lines = self.lines(evaluation)
        self.assertGreater(len(lines), 1)
        for line in lines:
            self.assertEqual(line["ensemble"], "cached_prior")
            for found, expected in zip(line["exp_avg_posterior"], prior):
                self.assertAlmostEqual(found, expected, places=12)


class OriginalReadme(ReadmeTest):
    """bash scripts/..., with 32 GPUs, so four ranks for each domain."""

    domains = ["1b_test", "ag", "amazon", "chemprot", "citation_intent", "hp-news", "imdb", "rct"]
    name = "32_GPUs_transformer_lm_gpt3_small_test"

    def test_every_command(self):
        said = self.shell("""
            export NUM_GPUS=32 DISTRIBUTED_PORT=12345 MODEL=transformer_lm_gpt3_small EXPERIMENT=demix
            export DATA_PATH=${DATA_DIR}/data-bin EXPERIMENT_SUFFIX=test SERIALIZATION_DIR=$PWD/models
            train() {
              bash scripts/run_all.sh $NUM_GPUS $DISTRIBUTED_PORT $MODEL $EXPERIMENT $DATA_PATH $SERIALIZATION_DIR \
                $EXPERIMENT_SUFFIX
            }
            train

            export PATH_TO_CHECKPOINT=${SERIALIZATION_DIR}/checkpoint_last.pt OUTPUT_PATH=eval_output.jsonl
            export SPLIT=valid DOMAIN=imdb
            bash scripts/eval_lm_single.sh $DATA_PATH $PATH_TO_CHECKPOINT $OUTPUT_PATH $SPLIT $DOMAIN
            export DOMAIN_TOKEN=rct PATH_TO_CHECKPOINT=${SERIALIZATION_DIR}/checkpoint_last-rank-11.pt SPLIT=test
            bash scripts/eval_lm_single.sh $DATA_PATH $PATH_TO_CHECKPOINT rank_output.jsonl $SPLIT $DOMAIN $DOMAIN_TOKEN

            export DATA_BIN=${DATA_DIR}/data-bin
            ranks=
            for rank in 0 4 8 12 16 20 24 28; do ranks+=:${SERIALIZATION_DIR}/checkpoint_last-rank-$rank.pt; done
            bash scripts/ensemble_eval_lm.sh $DATA_BIN ${ranks#:} $DOMAIN test.jsonl estimate
            export MODEL_NAME=demix_32_GPUs_transformer_lm_gpt3_small_test POSTERIOR_OUTPUT=posterior.jsonl
            bash scripts/mix_experts.sh $DATA_PATH $MODEL_NAME $DOMAIN $DOMAIN $POSTERIOR_OUTPUT estimate
            # "copying the value of the last line in that file"
            last='import json, sys; print(json.load(sys.stdin)["exp_avg_posterior"])'
            posterior=$(tail -n 1 $POSTERIOR_OUTPUT | python3 -c "$last")
            [[ $posterior == "["*", "*"]" ]]
            bash scripts/mix_experts.sh $DATA_PATH $MODEL_NAME $DOMAIN $DOMAIN eval.jsonl eval "$posterior"

            export NEW_DATA_PATH=$NEW/data-bin NEW_DOMAIN=acl_papers
            export PATH_TO_CHECKPOINT=${SERIALIZATION_DIR}/checkpoint_last-rank-27.pt FEEDFORWARD_OR_FULL=feedforward
            bash scripts/dapt_small.sh $NEW_DATA_PATH $NEW_DOMAIN $PATH_TO_CHECKPOINT $FEEDFORWARD_OR_FULL $PWD/adapted \
              $EXPERIMENT_SUFFIX

            for EXPERIMENT in dense unbalanced domain_token; do train; done
            for run in dense unbalanced_dense domain_token; do
              PATH_TO_CHECKPOINT=${SERIALIZATION_DIR}/${run}_32_GPUs_transformer_lm_gpt3_small_test/checkpoint_last.pt
              bash scripts/eval_lm_single.sh $DATA_PATH $PATH_TO_CHECKPOINT $run.jsonl $SPLIT $DOMAIN $DOMAIN_TOKEN
            done""")
        self.assertIn("DOMAIN_TOKEN 'rct' is ignored", said)

        models = self.folder / "models"
        for folder, experiment in (("demix", "demix"), ("dense", "dense"), ("unbalanced_dense", "unbalanced"),
                                   ("domain_token", "domain-token")):
            self.check_training(models / f"{folder}_{self.name}", experiment, "transformer_lm_gpt3_small", 8)
        demix = models / f"demix_{self.name}/checkpoint_last"
        self.assertEqual(sorted(path.stem for path in (demix / "experts").iterdir()), self.domains)

        self.check_evaluation("eval_output.jsonl", demix, "imdb", "valid", expert="imdb")
        self.check_evaluation("rank_output.jsonl", demix, "imdb", "test", expert=self.domains[11 // 4])
        for folder in ("dense", "unbalanced_dense"):
            self.check_evaluation(f"{folder}.jsonl", models / f"{folder}_{self.name}/checkpoint_last", "imdb", "test")
        self.check_evaluation("domain_token.jsonl", models / f"domain_token_{self.name}/checkpoint_last", "imdb", "test",
                              token="rct")

        data = self.folder / "example_domains/data-bin"
        for name in ("test.jsonl", "posterior.jsonl"):
            lines = self.check_mixture(name, data, demix, "imdb", "--mode", "estimate", "--max-batches", 101,
                                       experts=self.domains)
            self.assertEqual(len(lines), 101)
        self.check_mixture("eval.jsonl", data, demix, "imdb", "--prior", "posterior.jsonl", experts=self.domains)
        self.check_evaluation_with_the_last("posterior.jsonl", "eval.jsonl")

        self.directly("demix-adapt", self.folder / "new_example_domains/data-bin", demix, "--domain", "acl_papers", "--mode",
                      "feedforward", "--from", self.domains[27 // 4], "--save-dir", "again", "--lr", "5e-5", "--dropout", 0,
                      *ADAPTATION.split())
        self.assert_same_files(self.folder / "adapted/joined", self.folder / "again/joined")


class OriginalTutorial(ReadmeTest):
    """bash tutorial/..., with 8 GPUs, a rank for each domain."""

    domains = ["1b_test", "ag_news", "amazon", "chemprot", "citation_intent", "hp-news", "imdb", "legal_contracts"]

    def test_every_command(self):
        self.shell("""
            export NUM_GPUS=8 DISTRIBUTED_PORT=12345 MODEL=transformer_lm EXPERIMENT=demix
            export DATA_BIN=${DATA_DIR}/data-bin/ EXPERIMENT_SUFFIX=tutorial SERIALIZATION_DIR=$(pwd)/demix_tutorial_model
            bash tutorial/train.sh $NUM_GPUS $DISTRIBUTED_PORT $MODEL $EXPERIMENT $DATA_BIN $SERIALIZATION_DIR $EXPERIMENT_SUFFIX

            export GPU_RANK=0 OUTPUT_PATH=eval_output.jsonl SPLIT=valid DOMAIN=imdb
            export PATH_TO_CHECKPOINT=${SERIALIZATION_DIR}/checkpoint_last-rank-${GPU_RANK}.pt
            bash tutorial/eval_lm.sh $DATA_BIN $PATH_TO_CHECKPOINT $OUTPUT_PATH $SPLIT $DOMAIN

            export DATA_BIN=${DATA_DIR}/data-bin DEV_POSTERIOR_OUTPUT=dev_posteriors.jsonl NUM_EVALUATION_GPUS=8
            experts() {
              local each="" rank
              for rank in $(seq 0 $1); do each+=:${SERIALIZATION_DIR}/checkpoint_last-rank-$rank.pt; done
              echo ${each#:}
            }
            bash tutorial/mix_eval_lm.sh $NUM_EVALUATION_GPUS $DATA_BIN $(experts 7) $DOMAIN $DEV_POSTERIOR_OUTPUT estimate
            export POSTERIOR=$(tail -n 1 $DEV_POSTERIOR_OUTPUT | jq -rc '.exp_avg_posterior | join(",")')
            cp $DEV_POSTERIOR_OUTPUT estimate.jsonl
            bash tutorial/mix_eval_lm.sh $NUM_EVALUATION_GPUS $DATA_BIN $(experts 7) $DOMAIN $DEV_POSTERIOR_OUTPUT eval \
              $POSTERIOR cached_prior

            export NEW_DATA_BIN=$NEW/data-bin/ NEW_DOMAIN=acl_papers DEV_POSTERIOR_OUTPUT=acl_papers_posterior.jsonl
            bash tutorial/mix_eval_lm.sh $NUM_EVALUATION_GPUS $NEW_DATA_BIN $(experts 7) $NEW_DOMAIN $DEV_POSTERIOR_OUTPUT estimate
            cp $DEV_POSTERIOR_OUTPUT affinity.jsonl
            export PATH_TO_CHECKPOINT=${SERIALIZATION_DIR}/checkpoint_last-rank-5.pt UNFREEZE_PARAMETERS=feedforward
            export NEW_SERIALIZATION_DIR=$(pwd)/${NEW_DOMAIN}_demix_dapt EXPERIMENT_SUFFIX=test
            bash tutorial/dapt.sh $NEW_DATA_BIN $NEW_DOMAIN $PATH_TO_CHECKPOINT $UNFREEZE_PARAMETERS $NEW_SERIALIZATION_DIR \
              $EXPERIMENT_SUFFIX
            export PATH_TO_NEW_EXPERT=${NEW_SERIALIZATION_DIR}/checkpoint_last-rank-0.pt
            bash tutorial/mix_eval_lm.sh $NUM_EVALUATION_GPUS $NEW_DATA_BIN $(experts 6):${PATH_TO_NEW_EXPERT} $NEW_DOMAIN \
              $DEV_POSTERIOR_OUTPUT estimate

            EXPERIMENT=dense
            bash tutorial/train.sh $NUM_GPUS $DISTRIBUTED_PORT $MODEL $EXPERIMENT $DATA_BIN dense_model $EXPERIMENT_SUFFIX
            export PATH_TO_CHECKPOINT=dense_model/checkpoint_last.pt FEEDFORWARD_OR_FULL=full
            export SERIALIZATION_DIR=$(pwd)/${NEW_DOMAIN}_dense_dapt
            bash tutorial/dapt.sh $NEW_DATA_BIN $NEW_DOMAIN $PATH_TO_CHECKPOINT $FEEDFORWARD_OR_FULL $SERIALIZATION_DIR \
              $EXPERIMENT_SUFFIX""")

        run_folder = self.folder / "demix_tutorial_model/demix_8_GPUs_transformer_lm_tutorial"
        dense = self.folder / "dense_model/dense_8_GPUs_transformer_lm_test"
        self.check_training(run_folder, "demix", "transformer_lm", 2)
        self.check_training(dense, "dense", "transformer_lm", 2)
        demix = run_folder / "checkpoint_last"
        self.check_evaluation("eval_output.jsonl", demix, "imdb", "valid", expert="1b_test")

        data, new = self.folder / "example_domains/data-bin", self.folder / "new_example_domains/data-bin"
        estimate = ["--mode", "estimate", "--max-batches", 101]
        lines = self.check_mixture("estimate.jsonl", data, demix, "imdb", *estimate, experts=self.domains)
        self.assertEqual(len(lines), 101)
        self.check_mixture("dev_posteriors.jsonl", data, demix, "imdb", "--prior", "estimate.jsonl", experts=self.domains)
        self.check_evaluation_with_the_last("estimate.jsonl", "dev_posteriors.jsonl")
        self.check_mixture("affinity.jsonl", new, demix, "acl_papers", *estimate, experts=self.domains)

        adapted = self.folder / "acl_papers_demix_dapt"
        for out, base, options in ((adapted, demix, ["feedforward", "--from", self.domains[5]]),
                                   (self.folder / "acl_papers_dense_dapt", dense / "checkpoint_last", ["full"])):
            again = self.folder / f"again-{out.name}"
            self.directly("demix-adapt", new, base, "--domain", "acl_papers", "--save-dir", again, "--lr", "5e-5",
                          "--dropout", 0, *ADAPTATION.split(), "--mode", *options)
            self.assert_same_files(out / "checkpoint_last", again / "checkpoint_last")
        seven = self.domains[:7]
        self.check_mixture("acl_papers_posterior.jsonl", new, demix, "acl_papers", *estimate, "--experts",
                           ",".join([*seven, f"{adapted}/checkpoint_last:acl_papers"]), experts=[*seven, "acl_papers"])


if __name__ == "__main__":
    unittest.main()
