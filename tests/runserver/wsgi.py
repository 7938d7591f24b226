"""What runserver serves, WSGI."""

from onehop.wsgi import get_wsgi_application

application = get_wsgi_application()
