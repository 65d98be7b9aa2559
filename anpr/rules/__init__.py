"""Rules: what makes a passage worth an officer's while, as data. The language is described in docs/rules.md."""
