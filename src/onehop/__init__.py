"""Run an unchanged Django project with the fewest hops between event loop and threads."""
