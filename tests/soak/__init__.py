"""
Soak Onehop beside stock Django: the same load on both, for minutes or days, and nothing may be left of it.

``__main__`` is the command, ``run`` drives ``contender`` (a server) with ``load`` (a client process) in turns, ``laws``
says what must hold when nothing is in flight, ``trend`` and ``picture`` tell what has grown. Served are ``asgi`` and
``site``; ``ledger`` counts inside the server, ``plants`` makes it break a law.
"""
