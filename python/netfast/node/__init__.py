"""Parts of `netfast.Stack`: what it lists, what it reads from the system."""
