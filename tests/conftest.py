"""What all tests need."""

import signal

# Where tests run in the background of a shell, interrupts are ignored, by them and by what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
