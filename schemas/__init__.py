"""The contracts: every message that crosses a topic or a store, one codec, the topics; imports nothing of ours."""
