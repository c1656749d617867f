"""A part that cannot start."""

if __name__ == "__main__":
    reason = "no such luck"
    raise RuntimeError(reason)
