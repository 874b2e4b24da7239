"""What networks are trained on: rows, images, volumes, and the batches and patches cut from them."""
