"""What a WSGI server is told to serve."""

import os

from onehop.wsgi import get_wsgi_application
from tests.transport import site

application = get_wsgi_application()
site.note(os.getpid())
site.note(f"serving {type(application).__name__}")
