"""The product's WSGI application for a server of coroutines."""

from a2wsgi import WSGIMiddleware
from wsgi import app as application

app = WSGIMiddleware(application)
