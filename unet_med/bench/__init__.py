"""How fast each way of running a bundle's network is on this machine.

Nothing is imported here: the processes that measure memory load only what their way needs.
"""
