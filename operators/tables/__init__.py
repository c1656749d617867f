"""Side tables of a feed worker: columns of numpy, one dense row per video, fed from compacted topics."""
