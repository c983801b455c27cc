"""Random questions about random worlds, answered by the real engine and by a naive answerer that shares no code."""
