"""Reads a latency.hlog with the Python port of HdrHistogram: how many values each tag has, and those at the ranks asked for.

usage: hlog.py LATENCY.HLOG < RANKS    RANKS: {"<tag>": [rank, ...]} as JSON, ranks from 1
"""

import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

RANGE = (1, 3_600_000_000_000, 3)  # 1 ns to 1 h

ranks = json.load(sys.stdin)
reader = HistogramLogReader(sys.argv[1], HdrHistogram(*RANGE))
totals = {}
while (histogram := reader.get_next_interval_histogram()) is not None:
    totals.setdefault(histogram.get_tag(), HdrHistogram(*RANGE)).add(histogram)
reader.close()


def at_rank(histogram, rank):
    return histogram.get_value_at_percentile(100.0 * rank / histogram.get_total_count())


print(
    json.dumps(
        {
            tag: {
                "count": total.get_total_count(),
                "max": total.get_max_value(),
                "at": [at_rank(total, rank) for rank in ranks.get(tag, [])],
            }
            for tag, total in totals.items()
        }
    )
)
