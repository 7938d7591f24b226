"""What runserver serves, with daphne."""

from onehop.asgi import get_asgi_application

application = get_asgi_application()
