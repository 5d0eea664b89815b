"""The database's clock: the only one that all machines of a site share.

Whatever decides between workers, or ends something, is compared with it: `Now()` inside a statement, `now()`
where Python needs the value. The clocks of two machines may differ by more than a heartbeat lasts.
"""

from __future__ import annotations

from datetime import datetime

from annotate.database.statements import rows


def now() -> datetime:
    at: datetime = rows("SELECT statement_timestamp()")[0][0]
    return at
