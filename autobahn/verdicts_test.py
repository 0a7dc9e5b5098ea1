"""Tests of verdicts.py. Run: python3 -m unittest discover -s autobahn -p '*_test.py'"""

import unittest

import verdicts

OK = ["OK", "OK"]


class Expected(unittest.TestCase):
    def test_each_role_has_all_517_cases(self):
        for role in ("server", "client"):
            wanted = verdicts.expected(role)
            sections = [int(case.split(".")[0]) for case in wanted]
            counts = {section: sections.count(section) for section in sections}
            self.assertEqual(
                counts, {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1,
                         12: 90, 13: 126})
            self.assertEqual(len(wanted), 517)

    def test_only_three_cases_are_not_ok(self):
        for role in ("server", "client"):
            wanted = verdicts.expected(role)
            others = sorted(case for case, verdict in wanted.items() if verdict != OK)
            self.assertEqual(others, ["7.1.6", "7.13.1", "7.13.2"])

    def test_a_row_expands_to_its_ids(self):
        self.assertEqual(verdicts.expand("4.1.3-5"), ["4.1.3", "4.1.4", "4.1.5"])
        self.assertEqual(verdicts.expand("2.9-11"), ["2.9", "2.10", "2.11"])
        self.assertEqual(verdicts.expand("10.1.1"), ["10.1.1"])


class Select(unittest.TestCase):
    def test_a_prefix_counts_whole_numbers(self):
        cases = ["1.1.1", "7.1.6", "7.13.1", "10.1.1"]
        self.assertEqual(verdicts.select(cases, ["1"]), ["1.1.1"])
        self.assertEqual(verdicts.select(cases, ["7.1"]), ["7.1.6"])
        self.assertEqual(verdicts.select(cases, ["10", "7"]), ["7.1.6", "7.13.1", "10.1.1"])
        self.assertEqual(verdicts.select(cases, ["7.1.6"]), ["7.1.6"])
        self.assertEqual(verdicts.select(cases, ["8"]), [])


class Differences(unittest.TestCase):
    def check(self, got, wanted, selected, lines):
        self.assertEqual(list(verdicts.differences(got, wanted, selected).values()), lines)

    def test_equal_verdicts_do_not_differ(self):
        self.check({"1.1": OK}, {"1.1": OK}, ["1.1"], [])

    def test_either_field_counts(self):
        got = {"1.2": ["NON-STRICT", "OK"], "1.10": ["OK", "UNCLEAN"]}
        wanted = {"1.2": OK, "1.10": OK}
        self.check(got, wanted, ["1.2", "1.10"], [
            "1.2: got NON-STRICT / OK, wanted OK / OK",
            "1.10: got OK / UNCLEAN, wanted OK / OK",
        ])

    def test_a_case_that_did_not_run_differs(self):
        self.check({}, {"1.1": OK}, ["1.1"],
                   ["1.1: missing from the report, wanted OK / OK"])

    def test_a_case_nobody_asked_for_differs(self):
        self.check({"1.1": OK}, {"1.1": OK}, [],
                   ["1.1: got OK / OK, not among the cases asked for"])

    def test_a_case_without_an_expectation_differs(self):
        self.check({"12.1.1": OK}, {}, ["12.1.1"],
                   ["12.1.1: got OK / OK, expected.json has no verdict for it"])


class Table(unittest.TestCase):
    def test_sections_and_verdicts(self):
        got = {"1.1": OK, "1.2": ["NON-STRICT", "OK"], "10.1": OK}
        self.assertEqual(verdicts.table(got).splitlines(), [
            "behavior  OK  NON-STRICT  all",
            "       1   1           1    2",
            "      10   1           0    1",
            "     all   2           1    3",
            "",
            "behaviorClose  OK  all",
            "            1   2    2",
            "           10   1    1",
            "          all   3    3",
        ])

    def test_nothing_ran(self):
        self.assertIn("all", verdicts.table({}))


if __name__ == "__main__":
    unittest.main()
