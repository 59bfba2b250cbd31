"""How far tips, notch and trailing edges are from true ones."""
