"""WS-Management as MS-WSMV has it for Windows' remote shell: an endpoint on this host, for guests that have none.

It lives here and not with the tests: the stand-in guest has no WinRM, so that the machine, and the benchmark of the
transports, put this in front of it.
"""
