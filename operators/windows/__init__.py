"""Windows: what an event counts for, one-minute panes for many keys at once, decayed sums."""
