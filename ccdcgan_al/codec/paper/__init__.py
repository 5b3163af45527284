"""The codec `paper`: the published voxel images, compressed to the published latents by trained principal components."""
