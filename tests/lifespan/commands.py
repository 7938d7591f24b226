"""How each server is started."""

UVICORN = ["-m", "uvicorn", "--port", "{port}"]
HYPERCORN = ["-m", "hypercorn", "--bind", "127.0.0.1:{port}"]
DAPHNE = ["-m", "daphne", "-b", "127.0.0.1", "-p", "{port}"]
GRANIAN = ["-m", "granian", "--host", "127.0.0.1", "--port", "{port}", "--interface"]
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--graceful-timeout", "5", "--worker-class"]
