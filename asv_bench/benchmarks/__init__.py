"""The asv suite. Everything is compiled in ``setup``; names stay, and parameters are only appended to."""
