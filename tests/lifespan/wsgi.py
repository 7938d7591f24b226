"""What the WSGI servers are told to serve."""

from onehop.wsgi import get_wsgi_application

application = get_wsgi_application()
