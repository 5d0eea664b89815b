"""How the portrait world is painted: canvas, head, face, hair, clothes, places."""
