"""The admin console: a page at `/admin` that asks the public API, and the routes for jobs that need a person."""

from __future__ import annotations

from backstay.admin.admin import Admin as Admin

__all__ = ["Admin"]
