"""Does the simulated world behave as the real one, does it schedule legally, and is a kill a power cut?"""
