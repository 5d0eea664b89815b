"""What looks at videos; `registry` knows them by name, and imports one when it is asked for."""
