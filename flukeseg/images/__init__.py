"""Any photo file -> an upright RGB array, and back to a file."""
