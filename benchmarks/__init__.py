"""Backstay against its peers on one shop: what is asked, who is asked, and how the asking is measured."""
