"""What a Vietnamese number plate is: characters, provinces, forms, confusions, and the decoding of lattices. Pure."""
