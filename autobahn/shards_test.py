"""Tests of shards.py. Run: python3 -m unittest discover -s autobahn -p '*_test.py'"""

import unittest

import shards
import verdicts


class Split(unittest.TestCase):
    def test_every_case_is_in_one_shard(self):
        cases = list(verdicts.expected("server"))
        for count in (1, 2, 3, 8):
            parts = shards.split(cases, count)
            self.assertEqual(len(parts), count)
            self.assertEqual(sorted(sum(parts, [])), sorted(cases))

    def test_the_large_messages_are_shared_out(self):
        cases = list(verdicts.expected("client"))
        first, second = (
            sum(case.endswith(".18") for case in part if case.startswith(("12.", "13.")))
            for part in shards.split(cases, 2))
        self.assertEqual((first, second), (6, 6))

    def test_a_shard_keeps_the_order(self):
        self.assertEqual(shards.split(["1.1.1", "1.1.2", "2.1"], 1), [["1.1.1", "1.1.2", "2.1"]])

    def test_no_shard_is_empty(self):
        self.assertEqual(shards.split(["1.1.1"], 4), [["1.1.1"]])
        self.assertEqual(shards.split([], 2), [])


if __name__ == "__main__":
    unittest.main()
