"""The shop in Django REST framework, written the way both projects' documentation teaches."""
