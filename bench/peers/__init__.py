"""The site beside other tools for a part of what it does; each is found by a path that the user names."""
