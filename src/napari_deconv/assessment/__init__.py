"""Quality of a restoration."""
