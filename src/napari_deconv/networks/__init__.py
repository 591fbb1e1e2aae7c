"""Neural networks, their pretrained weights, and filters that need no training."""
