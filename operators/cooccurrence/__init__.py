"""Co-occurrence: counts which videos the same people watch, and tells each video's neighbours."""
