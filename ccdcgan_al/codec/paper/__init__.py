"""The codec `paper`. Trained principal components compress the published voxel images to the published latents."""
