"""What the trainers and demix-eval say about input that is wrong."""

import resource
import shutil
import signal
import struct
import unittest

import programs
import tiny_data
from programs import run, train


class WrongOptions(programs.ProgramTest):
    def test_help_is_complete_and_needs_nothing(self):
        for program in ("demix-train-dense", "demix-train-unbalanced", "demix-train-domain-token", "demix-train-demix", "demix-eval"):
            done = run(program, "--help")
            self.assertEqual(done.returncode, 0, done.stderr)
            for word in ("usage:", "Example:", "--threads", "--config"):
                self.assertIn(word, done.stdout)

    def test_wrong_usage_is_exit_code_2(self):
        cases = [
            (["--lrr", "1"], "'--lr'"),
            (["--max-updat", "1"], "'--max-update'"),
            (["--lr", "much"], "lr"),
            (["--lr", "-1"], "--lr"),
            (["--arch", "transformer_lm_gpt3_smal"], "transformer_lm_gpt3_small"),
            (["--activation", "gelo"], "'gelu'"),
            (["--heads", "3"], "--heads 3"),
            (["--heads", "0"], "--heads"),
            (["--d-model", "-32"], "--d-model"),
            (["--batch-size", "0"], "--batch-size"),
            (["--dropout", "1"], "--dropout"),
            (["--adam-betas", "0.9"], "--adam-betas"),
            (["--adam-betas", "(0.9, 1.5)"], "--adam-betas"),
            (["--warmup-updates", "10", "--max-update", "10"], "--warmup-updates"),
            (["--train-domains", "alpha,,beta"], "empty item"),
            (["--config", "/nonexistent.ini"], "/nonexistent.ini"),
            (["extra-argument"], "usage"),
        ]
        for arguments, word in cases:
            with self.subTest(arguments):
                done = run("demix-train-dense", self.data, "--save-dir", self.folder / "run", *arguments)
                self.assert_fails(done, 2, word)
                self.assertFalse((self.folder / "run").exists())
        self.assert_fails(run("demix-train-dense", self.data), 2, "save-dir")
        self.assert_fails(run("demix-train-dense"), 2, "data")


class WrongData(programs.ProgramTest):
    def train(self, *arguments, **options):
        return train("demix", self.data, self.folder / "run", "--max-update", 5, *arguments, **options)

    def test_missing(self):
        shutil.rmtree(self.data)
        self.assert_fails(self.train(), 1, str(self.data))
        self.assert_fails(run("demix-eval", self.data, self.folder / "none"), 1, "none")

    def test_a_domain_that_is_not_there_lists_those_that_are(self):
        self.assert_fails(self.train("--train-domains", "alpha,delta"), 1, "delta", "alpha", "gamma")

    def test_damaged_files(self):
        index, tokens = self.data / "beta" / "train.idx", self.data / "beta" / "train.bin"
        whole_index, whole_tokens = index.read_bytes(), tokens.read_bytes()
        header = 26

        def patched(offset, data):
            return whole_index[:offset] + data + whole_index[offset + len(data):]

        cases = [
            ("empty index", index, b""),
            ("cut header", index, whole_index[:20]),
            ("cut sizes", index, whole_index[:header + 10]),
            ("cut by one byte", index, whole_index[:-1]),
            ("one byte more", index, whole_index + b"\0"),
            ("wrong magic", index, patched(0, b"XX")),
            ("wrong version", index, patched(9, struct.pack("<Q", 2))),
            ("wrong type", index, patched(17, b"\7")),
            ("unknown type", index, patched(17, b"\x63")),
            ("absurd count", index, patched(18, struct.pack("<Q", 2**62))),
            ("count of zero", index, patched(18, struct.pack("<Q", 0))),
            ("negative size", index, patched(header, struct.pack("<i", -5))),
            ("wrong pointer", index, whole_index[:-8] + struct.pack("<q", 10**9)),
            ("cut tokens", tokens, whole_tokens[:-2]),
            ("odd bytes", tokens, whole_tokens[:-1]),
            ("no tokens", tokens, b""),
            ("token outside the vocabulary", tokens, struct.pack("<H", 120) * (len(whole_tokens) // 2)),
            ("nothing but padding", tokens, struct.pack("<H", 1) * (len(whole_tokens) // 2)),
        ]
        for name, path, contents in cases:
            with self.subTest(name):
                path.write_bytes(contents)
                self.assert_fails(self.train(), 1, "beta/train")
                index.write_bytes(whole_index)
                tokens.write_bytes(whole_tokens)
                shutil.rmtree(self.folder / "run", ignore_errors=True)
        self.assertEqual(self.train().returncode, 0)

    def test_an_empty_split(self):
        tiny_data.write_split(self.data / "alpha" / "valid_alpha", [])
        self.assert_fails(self.train(), 1, "valid_alpha", "empty")

    def test_a_damaged_dictionary(self):
        (self.data / "dict.txt").write_text("one 1\ntwo\n")
        self.assert_fails(self.train(), 1, "dict.txt:2")
        (self.data / "dict.txt").write_text("one 1\none 2\n")
        self.assert_fails(self.train(), 1, "dict.txt:2", "one")


class WrongPlaces(programs.ProgramTest):
    def test_a_save_dir_in_what_must_stay_as_it_is(self):
        self.assertEqual(train("demix", self.data, self.folder / "run", "--max-update", 3).returncode, 0)
        checkpoint, link = self.folder / "run" / "checkpoint_last", self.folder / "link"
        link.symlink_to(self.data)
        before = programs.files_of(self.folder)
        for place in (checkpoint, checkpoint / "new", checkpoint.resolve() / "experts" / "x" / "y"):
            self.assert_fails(train("dense", self.data, place, "--max-update", 1), 1, "lies in the checkpoint", str(place))
        for place in (self.data, self.data / "alpha", link / "runs"):
            self.assert_fails(train("dense", self.data, place, "--max-update", 1), 1, "lies in the data-bin", str(place))
        inside = train("dense", self.data.resolve(), "new", "--max-update", 1, cwd=checkpoint)
        self.assert_fails(inside, 1, "lies in the checkpoint")
        self.assertEqual(programs.files_of(self.folder), before)

    def test_a_save_dir_that_cannot_be_written(self):
        (self.folder / "file").write_text("")
        self.assert_fails(train("dense", self.data, self.folder / "file" / "run", "--max-update", 1), 1, "file/run")
        self.assert_fails(train("dense", self.data, self.folder / "file", "--max-update", 1), 1, "file")

    def test_a_full_disk_leaves_no_checkpoint_that_looks_whole(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

        save_dir = self.folder / "run"
        done = train("demix", self.data, save_dir, "--max-update", 5, preexec_fn=limit)
        self.assert_fails(done, 1, "run")
        self.assertEqual(list(save_dir.glob("checkpoint_*")), [])
        self.assertEqual(train("demix", self.data, save_dir, "--max-update", 5).returncode, 0)


class WrongCheckpoints(programs.ProgramTest):
    def setUp(self):
        super().setUp()
        self.assertEqual(train("demix", self.data, self.folder / "run", "--max-update", 3).returncode, 0)
        self.checkpoint = self.folder / "run" / "checkpoint_3"

    def test_damaged_files(self):
        for name in ("model.h5", "experts/beta.h5"):
            path = self.checkpoint / name
            whole = path.read_bytes()
            for contents in (b"", whole[:100], whole[:len(whole) // 2], whole[:-1], b"not HDF5" * 1000):
                with self.subTest(name, size=len(contents)):
                    path.write_bytes(contents)
                    self.assert_fails(run("demix-eval", self.data, self.checkpoint), 1, name)
            path.unlink()
            self.assert_fails(run("demix-eval", self.data, self.checkpoint), 1, name)
            path.write_bytes(whole)
        for name in ("state/beta.h5", "state.h5"):
            state = self.checkpoint / name
            state.write_bytes(state.read_bytes()[:1000])
            self.assertEqual(run("demix-eval", self.data, self.checkpoint).returncode, 0)
            self.assert_fails(train("demix", self.data, self.folder / "run", "--max-update", 3), 1, name)

    def test_another_vocabulary(self):
        with (self.data / "dict.txt").open("a") as dictionary:
            dictionary.write("more 1\n")
        self.assert_fails(run("demix-eval", self.data, self.checkpoint), 1, "vocabulary", "fingerprint")

    def test_wrong_questions(self):
        self.assert_fails(run("demix-eval", self.data, self.checkpoint, "--split", "dev"), 2, "valid")
        self.assert_fails(run("demix-eval", self.data, self.checkpoint, "--domain", "delta", "--expert", "alpha"), 1, "delta")
        self.assert_fails(run("demix-eval", self.data, self.checkpoint, "--expert", "delta"), 2, "delta", "alpha")
        self.assert_fails(run("demix-eval", self.data, self.checkpoint, "--domain-token", "alpha"), 2, "--domain-token")
        self.assert_fails(run("demix-eval", self.data, self.checkpoint, "--json", "/nonexistent/x.json"), 1, "/nonexistent/x.json")


if __name__ == "__main__":
    unittest.main()
