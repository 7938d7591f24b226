"""What lives as long as the server."""

from contextlib import asynccontextmanager

from shop.services import new_client


@asynccontextmanager
async def lifespan():
    """Open one HTTP client when the server starts, and close it when the server ends."""
    async with new_client() as client:
        yield {"client": client}
