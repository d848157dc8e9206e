"""From play logs to hit scores, and the long tail of both.

In: logs of plays as people have them. Out: one hit score per song, the share of all plays of the
60th day after its release, and figures of how unequally plays are spread.

`readers` opens other people's formats (`docs/formats.md` lists them), with `parsing` beneath it;
`timezones` says on which day of the service something was played; `tables` checks tables that come
from Python; `definitions` says what a hit score is (the 60th day stands there), `hitscores` runs
the definitions over a log, `queryengines` says where (DuckDB or Spark); `longtail` and `tailfits`
describe the distribution.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "definitions": ["Definition"],
        "hitscores": [
            "ScoreReport",
            "daily_shares",
            "hit_scores",
            "read_log",
            "score_report",
            "write_scores",
        ],
        "longtail": ["LongTail", "gini", "long_tail", "lorenz", "share_below_mean"],
        "readers": ["PlayLog", "read_plays", "read_songs", "sniff_format"],
        "tailfits": ["fit_log_normal", "fit_power_law", "summarise"],
    },
)
