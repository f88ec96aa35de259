#!/usr/bin/python3
"""An application never takes what a killed proxy cut off for the whole.

Proved with kill -9 of either proxy in the middle of a stream, for each way through the mesh and each direction of the data: both
applications are reset, and neither reads an end.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.tcp import RESET, read_to_end
from testing.ways import Ways

PART = b"p" * 5000


class KilledStreamTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.ways = Ways(cls.mesh)
        cls.mesh.start()
        cls.ways.listen()

    @classmethod
    def tearDownClass(cls):
        cls.ways.close()
        super().tearDownClass()

    def cut(self, way, victim):
        """What both applications see of two connections, one with data under way in each direction, when the victim is killed."""
        ends = []
        for sender in (0, 1):
            near, far = pair = self.ways.pair(way)
            near.sendall(b"?")
            far.recv(1)
            pair[sender].sendall(PART)
            self.assertTrue(pair[1 - sender].recv(100))
            ends += pair
        victim.proxy.kill()
        seen = [read_to_end(end)[1] for end in ends]
        for end in ends:
            end.close()
        victim.start_proxy()
        victim.wait_ready()
        return seen

    def test_both_applications_are_reset(self):
        for way in self.ways.open:
            for victim in {self.ways.near[way], self.ways.far[way]} - {None}:
                with self.subTest(way=way, killed=victim.name):
                    self.assertEqual(self.cut(way, victim), [RESET] * 4)


if __name__ == "__main__":
    sys.exit(main())
