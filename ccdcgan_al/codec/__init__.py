"""Convert structures to crystal graphs (2-D images of latents) and back."""
