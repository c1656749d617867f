"""From a catalogue record to numbers: content vectors and SimHashes."""
