"""Which of Django's test modules are run: those on the request path."""

TIERS = {
    1: (
        *("asgi", "handlers", "middleware", "middleware_exceptions", "async", "signals", "dispatch"),
        *("wsgi", "builtin_server", "servers", "test_client", "test_client_regress"),
        *("staticfiles_tests.test_handlers", "deprecation.test_middleware_mixin"),
        *("requests_tests", "responses", "httpwrappers", "csrf_tests", "logging_tests", "conditional_processing"),
        *("context_processors", "decorators", "db_utils", "project_template", "urlpatterns", "urlpatterns_reverse"),
    ),
    2: (
        *("sessions_tests", "auth_tests", "messages_tests", "cache", "i18n", "generic_views", "view_tests"),
        *("file_uploads", "flatpages_tests", "redirects_tests", "sites_tests", "sitemaps_tests", "syndication_tests"),
        *("contenttypes_tests", "admin_views", "admin_changelist", "admin_custom_urls", "admin_docs"),
        *("admin_inlines", "admin_utils", "admin_widgets", "generic_inline_admin", "staticfiles_tests"),
        *("test_utils", "timezones", "transactions", "transaction_hooks", "template_tests"),
    ),
}
"""By tier: 1 is handlers, middleware, transport, signals and clients; 2 is applications through the test client."""

MODES = {
    "A": "as the tests do",
    "B": "of a sync test client through the async chain",
    "C": "of a test client through an ASGI scope and messages",
}
"""By letter: what becomes of the requests of a test."""
