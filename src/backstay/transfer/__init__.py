"""Data comes in from files and goes out into them: import, export, seed folders."""
