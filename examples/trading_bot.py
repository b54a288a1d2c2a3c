"""An asyncio program that reports failed orders once for each symbol.

Look at `group_by`, which keeps the symbols apart, and at `fingerprint` and `resolves`, which report
the loss of the feed and its end. Fills are sent without a sound.
"""

import asyncio
import logging

import pushover_logging

log = logging.getLogger("bot")


def buy(symbol: str) -> None:
    """Fail to reach the exchange."""
    msg = f"the exchange has no answer to {symbol}"
    raise TimeoutError(msg)


async def trade(symbol: str) -> None:
    """Try to buy, again and again, as a bot does."""
    for _ in range(20):
        try:
            buy(symbol)
        except TimeoutError:
            log.exception("Order failed", extra={"symbol": symbol})
        await asyncio.sleep(0)
    log.info("Bought 3 %s at %s", symbol, 64_000, extra={"symbol": symbol})


async def feed() -> None:
    """Lose the feed, and find it again; the texts differ, and the name makes them one problem."""
    for second in range(3):
        log.error("No prices for %d s", second, extra={"pushover": {"fingerprint": "feed"}})
        await asyncio.sleep(0.2)
    log.info("Prices are back", extra={"pushover": {"resolves": "feed"}})


async def main() -> None:
    """Trade two symbols at once."""
    await asyncio.gather(trade("BTC"), trade("ETH"), feed())


pushover_logging.install(level="INFO", throttle={"group_by": ["symbol"]})
asyncio.run(main())
