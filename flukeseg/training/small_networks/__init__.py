"""Small networks of the package that are fitted to renderings: recognition and outlines."""
