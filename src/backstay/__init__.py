"""Backstay: the complete backend of a web application, declared in one Python file."""
