"""Structure to crystal graph (a 2-D image of latents) and back."""
