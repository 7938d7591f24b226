import os

from onehop.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aggregation.settings")

application = get_asgi_application()
