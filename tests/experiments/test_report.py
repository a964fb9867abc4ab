"""The report and its verdicts, on made-up numbers whose verdicts are known."""

import copy
import math
import unittest

import claims
import report
from plan import MIXINGS, MODELS, POSTERIORS, Places, Recipe, adapted, mixture, steps_of

OLD, NEW = ["law", "code", "news"], ["poems", "songs"]


def mixed(experts, cached, over_previous=None, alone=None):
    """The result of a mixing step: all other mixtures are 1 above the cached prior."""
    results = [{"ensemble": "simple_average", "posterior_over": "none", "perplexity": cached + 1}]
    for ensemble in MIXINGS[1:]:
        for over in POSTERIORS:
            base = cached if over == "prefix" else (cached + 2 if over_previous is None else over_previous)
            value = base + (ensemble != "cached_prior")
            results.append({"ensemble": ensemble, "posterior_over": over, "perplexity": value})
    single = [{"expert": e, "perplexity": (alone or {}).get(e, 90.0)} for e in experts]
    return {"tokens": 10, "experts": experts, "results": results, "single": single}


def record(phase, result):
    return {"phase": phase, "seconds": 60.0, "commands": ["demix-x DATA"], "result": result}


def made_up(seeds=(1, 2)):
    """Numbers under which every claim of the paper holds."""
    records = {}
    for seed in seeds:
        shift = seed / 10
        steps = records[seed] = {}
        for n, model in enumerate(MODELS):
            steps[f"train-{model}"] = record("training", {"parameters": 1000 + n})
            if model != "demix":
                both = {d: 20.0 + n + shift for d in OLD}
                steps[f"evaluate-{model}"] = record("evaluation", {"perplexity": both})
        for model in ("dense", "unbalanced"):
            novel = {d: 60.0 + shift for d in NEW}
            steps[f"evaluate-{model}-novel"] = record("evaluation", {"perplexity": novel})
        for d in OLD:
            steps[mixture(d)] = record("mixing", mixed(OLD, 15.0 + shift, alone={d: 16.0 + shift}))
        for d in NEW:
            steps[mixture(d)] = record("mixing", mixed(OLD, 50.0 + shift, alone={"law": 55.0 + shift}))
            demix, dense = adapted("demix", d), adapted("dense", d)
            steps[demix] = record("adaptation", {"start": "law", "experts": 3, "identical": 3})
            steps[dense] = record("adaptation", {})
            steps[mixture(d, demix)] = record("adaptation", mixed([*OLD, d], 30.0 + shift, alone={d: 31.0}))
            after = {**{o: 25.0 + shift for o in OLD}, d: 35.0 + shift}
            steps[f"evaluate-{dense}"] = record("adaptation", {"perplexity": after})
            for old in OLD if seed == seeds[0] else []:
                own = {old: 16.0 + shift}
                steps[mixture(old, demix)] = record("adaptation, old domains", mixed([*OLD, d], 15.0 + shift, alone=own))
        for d in OLD:
            for e in OLD if seed == seeds[0] else [d]:
                value = 19.0 if d == e else 15.0
                steps[mixture(d, without=e)] = record("removal", mixed([x for x in OLD if x != e], value + shift))
    return records


def settings(seeds=(1, 2)):
    return {
        "train_domains": OLD,
        "novel_domains": NEW,
        "model": ["--layers", "1"],
        "train": ["--lr", "1"],
        "adapt": ["--lr", "2"],
        "seeds": list(seeds),
        "quick": False,
        "tokens": {"law": {"train": 1000, "valid": 10, "test": 20}},
    }


def verdicts(text):
    """Verdict by claim, of the table at the beginning."""
    rows = [line.strip("| ").split(" | ") for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return dict(rows[2:])


class Report(unittest.TestCase):
    def setUp(self):
        self.records = made_up()

    def text(self):
        return report.text(settings(), self.records)

    def verdict(self, *words):
        found = [v for claim, v in verdicts(self.text()).items() if all(word in claim for word in words)]
        self.assertEqual(len(found), 1, f"{words}: {verdicts(self.text())}")
        return found[0]

    def perplexity(self, seed, step, ensemble, over, value):
        for r in self.records[seed][step]["result"]["results"]:
            if (r["ensemble"], r["posterior_over"]) == (ensemble, over):
                r["perplexity"] = value

    def alone(self, seed, step, expert, value):
        for r in self.records[seed][step]["result"]["single"]:
            if r["expert"] == expert:
                r["perplexity"] = value

    def test_the_plan_and_the_report_name_the_same_steps(self):
        recipe = Recipe(OLD, NEW, [], [], [])
        planned = {(s.seed, s.name) for s in steps_of(Places(None, None), recipe, [1, 2])}
        used = {(seed, name) for seed, steps in self.records.items() for name in steps}
        self.assertEqual(planned, used)

    def test_all_claims_hold_where_they_do(self):
        found = verdicts(self.text())
        self.assertEqual(len(found), 27)
        odd = {claim: v for claim, v in found.items() if v != "Holds" and "previous_token) beats" not in claim}
        self.assertEqual(odd, {})

    def test_every_number_is_where_it_belongs(self):
        text = self.text()
        for row in (
            "| law | 20.15 ± 0.07 | 21.15 ± 0.07 | 22.15 ± 0.07 | 16.15 ± 0.07 | **15.15 ± 0.07** | 17.15 ± 0.07 |",
            "| poems | 60.15 ± 0.07 | 60.15 ± 0.07 | 55.15 ± 0.07 | **50.15 ± 0.07** | 52.15 ± 0.07 |",
            "| poems | **55.15 ± 0.07** | 90.00 ± 0.00 | 90.00 ± 0.00 |",
            "| poems | 60.15 ± 0.07 | 35.15 ± 0.07 | 50.15 ± 0.07 | **30.15 ± 0.07** | 31.00 ± 0.00 |",
            "| songs | 20.15 ± 0.07 | 25.15 ± 0.07 | +24.8 ± 0.1 % |",
            "| songs | 15.10 | 15.10 | 0.0 % |",
            "| news | 15.15 ± 0.07 | 19.15 ± 0.07 | 20.15 ± 0.07 |",
            "| cached_prior | all domains | 29.15 ± 0.07 | 31.15 ± 0.07 | −6.4 ± 0.0 % | 10 of 10 |",
            "| code | 15.10 | 15.10 | 0.0 % | law (0.0 %) |",
            "| law | 1,000 | 10 | 20 |",
        ):
            self.assertIn(row, text)
        self.assertIn("dense 1,000, unbalanced 1,001, domain_token 1,002, demix 1,003", text)
        self.assertIn("poems: law; songs: law", text)
        self.assertNotIn("nan", text)

    def test_a_claim_that_holds_for_no_seed_or_for_some(self):
        for seed in (1, 2):
            for d in OLD:
                self.alone(seed, mixture(d), d, 40.0)
            self.assertEqual(
                self.verdict("known domain's expert beats dense"),
                "Holds for 1 of 2 seeds only" if seed == 1 else "Does not hold",
            )
        self.assertIn(
            "**Does not hold**: demix with the known domain's expert beats dense. Average perplexity: +98.5 ± 0.7 %; "
            "lower for 0 of 2 seeds, and in 0 of 6 pairs",
            self.text(),
        )

    def test_equal_is_not_lower(self):
        for seed in (1, 2):
            for d in OLD:
                self.alone(seed, mixture(d), d, self.records[seed]["evaluate-dense"]["result"]["perplexity"][d])
        self.assertEqual(self.verdict("known domain's expert beats dense"), "No difference")
        self.assertIn("lower for 0 of 2 seeds, and in 0 of 6 pairs", self.text())
        self.alone(1, mixture("law"), "law", 20.1 * 0.99)  # 0.3 % of the average
        self.assertEqual(self.verdict("known domain's expert beats dense"), "Holds for 1 of 2 seeds only")

    def test_the_average_counts_and_pairs_are_told(self):
        for seed in (1, 2):
            self.alone(seed, mixture("law"), "law", 26.0)  # 26, 16, 16 against 20, 20, 20
        self.assertEqual(self.verdict("known domain's expert beats dense"), "Holds")
        self.assertRegex(self.text(), "known domain's expert beats dense.*lower for 2 of 2 seeds, and in 4 of 6 pairs")

    def test_a_better_single_expert_on_novel_domains(self):
        for seed in (1, 2):
            for d in NEW:
                self.alone(seed, mixture(d), "news", 49.0)
        self.assertEqual(self.verdict("posterior over prefix) beats the best single expert"), "Does not hold")
        self.assertIn("| poems | 60.15 ± 0.07 | 60.15 ± 0.07 | **49.00 ± 0.00** |", self.text())

    def test_another_mixture_is_the_best(self):
        for d in NEW:
            self.perplexity(1, mixture(d), "simple_average", "none", 1.0)
        self.assertEqual(self.verdict("best of the four", "novel"), "Holds for 1 of 2 seeds only")
        self.assertEqual(self.verdict("best of the four", "in-domain"), "Holds")

    def test_the_better_posterior_is_shown(self):
        for steps in self.records.values():
            for step in steps.values():
                for r in step["result"].get("results", []):
                    if r["posterior_over"] == "previous_token":
                        r["perplexity"] -= 4
        text = self.text()
        self.assertIn("**previous_token is better on average over all domains**", text)
        self.assertIn("use previous_token where nothing else is said", text)
        self.assertEqual(self.verdict("prefix is better than previous_token on all domains"), "Does not hold")
        self.assertIn("The mixtures have a cached prior (posterior over previous_token)", text)
        self.assertIn("| news | 13.15 ± 0.07 | 17.15 ± 0.07 | 20.15 ± 0.07 |", text)
        self.assertEqual(self.verdict("best of the four mixtures in-domain (posterior over previous_token)"), "Holds")

    def test_posteriors_that_differ_by_group(self):
        for seed in (1, 2):
            for d in NEW:
                for ensemble in MIXINGS[1:]:
                    self.perplexity(seed, mixture(d), ensemble, "previous_token", 1.0)
        self.assertEqual(self.verdict("prefix is better than previous_token on old domains"), "Holds")
        self.assertEqual(self.verdict("prefix is better than previous_token on novel domains"), "Does not hold")

    def test_forgetting(self):
        self.records[2][adapted("demix", "songs")]["result"]["identical"] = 2
        self.assertEqual(self.verdict("leaves the old experts untouched"), "Does not hold")
        self.assertIn("11 of 12 expert files are the same bytes", self.text())
        self.alone(1, mixture("code", adapted("demix", "poems")), "code", 16.1 * (1 + 1e-5))
        self.assertEqual(self.verdict("own expert has the perplexity it had before"), "Does not hold")
        for d in OLD:
            self.perplexity(1, mixture(d, adapted("demix", "poems")), "cached_prior", "prefix", 15.1 * 1.03)
        self.assertEqual(self.verdict("is as good on the old domains"), "Does not hold")
        self.assertIn("at most 1 % higher for 0 of 1 seed; the worst single change: +3.0 %", self.text())
        for seed in (1, 2):
            for d in NEW:
                after = self.records[seed][f"evaluate-{adapted('dense', d)}"]["result"]["perplexity"]
                after |= {o: 19.0 for o in OLD}
        self.assertEqual(self.verdict("Dense DAPT forgets"), "Does not hold")

    def test_adaptation_that_does_not_help(self):
        for seed in (1, 2):
            for d in NEW:
                self.perplexity(seed, mixture(d, adapted("demix", d)), "cached_prior", "prefix", 51.0)
        self.assertEqual(self.verdict("DEMix-DAPT improves the new domain"), "Does not hold")
        self.assertEqual(self.verdict("DEMix-DAPT (mixture of 4 experts) beats dense DAPT"), "Does not hold")
        self.assertEqual(self.verdict("Dense DAPT improves"), "Holds")

    def test_removal_that_changes_nothing_or_too_much(self):
        for seed in (1, 2):
            for d in OLD:
                self.perplexity(seed, mixture(d, without=d), "cached_prior", "prefix", 15.0)
        self.assertEqual(self.verdict("a domain's perplexity rises"), "Does not hold")
        self.assertEqual(self.verdict("the other domains stay as good"), "Holds")
        for d in OLD[1:]:
            self.perplexity(1, mixture(d, without="law"), "cached_prior", "prefix", 17.0)
        self.assertEqual(self.verdict("the other domains stay as good"), "Does not hold")

    def test_one_seed_has_no_spread(self):
        text = report.text(settings([1]), {1: self.records[1]})
        self.assertIn("| law | 20.10 | 21.10 | 22.10 | 16.10 |", text)
        self.assertNotRegex(text, "± [0-9]")

    def test_what_is_missing_is_said_and_does_not_stop_the_rest(self):
        whole = self.records
        self.records = copy.deepcopy(whole)
        del self.records[2]["evaluate-dense-novel"]
        text = self.text()
        self.assertRegex(text, "## Novel domains.*\n\nSeeds: 1\\.\n")
        self.assertRegex(text, "## In-domain.*\n\nSeeds: 1, 2\\.\n")
        del self.records[1][mixture("law", adapted("demix", "poems"))]
        self.assertRegex(self.text(), "Not measured yet: the mixture of 4 experts on the old domains")
        del self.records[1][mixture("law")]
        del self.records[2][mixture("news")]
        self.assertEqual(self.text().count("\n\nNot measured yet."), 4)
        self.records = {}
        self.assertEqual(self.text().count("\n\nNot measured yet."), 5)

    def test_time_is_summed_over_seeds_and_phases(self):
        text = self.text()
        self.assertIn("| training | 8 min |", text)  # 4 models, 2 seeds, a minute each
        steps = sum(len(of) for of in self.records.values())
        self.assertIn(f"| together | {steps // 60} h {steps % 60:02d} min |", text)

    def test_other_seeds_than_those_asked_for_are_left_out(self):
        self.assertEqual(report.text(settings([1]), self.records), report.text(settings([1]), {1: self.records[1]}))


class Claims(unittest.TestCase):
    def test_comparison_by_hand(self):
        a = {1: {"x": 9.0, "y": 20.0}, 2: {"x": 12.0, "y": 30.0}}
        b = {1: {"x": 10.0, "y": 22.0}, 2: {"x": 10.0, "y": 30.0}}
        c = claims.compare(a, b)
        self.assertAlmostEqual(c.changes[0], 100 * (14.5 / 16 - 1))
        self.assertAlmostEqual(c.changes[1], 5.0)
        self.assertEqual((c.pairs_lower, c.pairs, c.seeds_lower), (2, 4, 1))
        self.assertAlmostEqual(c.geometric[0], 100 * ((0.9 * 20 / 22) ** 0.5 - 1))
        self.assertAlmostEqual(c.geometric[1], 100 * (1.2**0.5 - 1))
        self.assertFalse(c.same)
        self.assertTrue(claims.compare({1: {"x": 10.004}}, {1: {"x": 10.0}}).same)
        self.assertFalse(claims.compare({1: {"x": 10.006}}, {1: {"x": 10.0}}).same)

    def test_tables_that_do_not_match(self):
        for other in ({2: {"x": 1.0}}, {1: {"y": 1.0}}, {1: {"x": 1.0}, 2: {"x": 1.0}}, {}):
            with self.assertRaises(ValueError):
                claims.compare({1: {"x": 1.0}}, other)

    def test_spread(self):
        self.assertEqual(claims.spread([1.0, 2.0, 3.0]), "2.00 ± 1.00")
        self.assertEqual(claims.spread([1.0]), "1.00")
        self.assertEqual(claims.spread([1.0, math.nan]), "nan ± nan")
        self.assertEqual(claims.signed([-1.0, -3.0]), "−2.0 ± 1.4 %")
        self.assertEqual(claims.signed([2.0]), "+2.0 %")

    def test_what_is_no_number_is_never_lower(self):
        nan = {1: {"x": math.nan}}
        self.assertEqual(claims.lower("c", nan, {1: {"x": 1.0}}).verdict, "Does not hold")
        self.assertEqual(claims.unchanged("c", nan, {1: {"x": 1.0}}, 1.0).verdict, "Does not hold")

    def test_lowest_needs_to_be_lower_than_all(self):
        tables = {"a": {1: {"x": 1.0}}, "b": {1: {"x": 1.0}}, "c": {1: {"x": 2.0}}}
        self.assertEqual(claims.lowest("c", tables, "a").verdict, "Does not hold")
        tables["a"][1]["x"] = 0.9
        self.assertEqual(claims.lowest("c", tables, "a").verdict, "Holds")


if __name__ == "__main__":
    unittest.main()
