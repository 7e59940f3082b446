"""How fast fumble is: `make bench` measures every figure anew and prints it beside its target.

Theory: other processes share the machine and its speed is unknown, so each figure is a ratio of two things measured in
turns, or a median of the process's own CPU time. Each benchmark runs in a process of its own. A missed target is shown,
and fails nothing.
"""
