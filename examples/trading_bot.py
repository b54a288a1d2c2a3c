"""Look at: one push for each symbol, however often its orders fail, and problems with a name.

The loss of the feed is sent, and its end. Fills are sent without a sound.
"""

import asyncio
import logging

import pushover_logging

log = logging.getLogger("bot")


def buy(symbol: str) -> None:
    """Find no exchange."""
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
    """Lose the feed, and find it again; each loss reads differently, the name makes them one."""
    for second in range(3):
        log.error("No prices for %d s", second, extra={"pushover": {"fingerprint": "feed"}})
        await asyncio.sleep(0.2)
    log.info("Prices are back", extra={"pushover": {"resolves": "feed"}})


async def main() -> None:
    """Trade two symbols at once."""
    await asyncio.gather(trade("BTC"), trade("ETH"), feed())


pushover_logging.install(level="INFO", throttle={"group_by": ["symbol"]})
asyncio.run(main())
