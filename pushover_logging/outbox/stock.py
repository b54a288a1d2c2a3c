"""How many of a handler's Messages are in the outbox's file: it is noticed if some are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pushover_logging.outbox import rows
from pushover_logging.outbox.account import Account
from pushover_logging.outbox.envelope import Envelope

PATIENCE_OF_A_CALL = 0.25  # seconds that a logging call waits for the file
_OF_SUMMARIES = {"adopted summary", "lost summary", "summaries"}


class Stock:
    """Knows the number by what the handler did and by its account's news, which pass through here.

    The handler's guard is held around each call, and over each insert with the count of it.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._news: Counter[str] = Counter()
        self._records = self._summaries = 0

    def change(self, envelopes: Iterable[Envelope], by: int) -> None:
        """Count Messages that were inserted, or, with -1, one that came to its end."""
        for envelope in envelopes:
            self._records += by * envelope.counts_as_record
            self._summaries += by * (not envelope.counts_as_record)

    def news(self) -> Counter[str]:
        """Take what became of Messages and is not in the handler's books yet."""
        self._follow()
        news, self._news = self._news, Counter()
        return news

    def take(self) -> int:
        """Count as lost, in the news, what is not in the file any more; return how many it is.

        No logging call inserts meanwhile: for once, the guard is held over a look into the file.
        Raises Unavailable or OSError.
        """
        records, summaries = self._account.take_stock(PATIENCE_OF_A_CALL)
        self._follow()
        lost = {"file lost": self._records - records, "lost summary": self._summaries - summaries}
        self._account.news.update({what: number for what, number in lost.items() if number > 0})
        self._follow()
        return sum(max(0, number) for number in lost.values())

    def _follow(self) -> None:
        news, self._account.news = self._account.news, Counter()
        for what, number in news.items():
            by = number if what in rows.ADOPTED else -number
            if what in _OF_SUMMARIES:
                self._summaries += by
            else:
                self._records += by
        self._news.update(news)
