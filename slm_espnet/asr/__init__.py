"""Speech recognition with ESPnet, as far as the toolkit adds to it: a fast CTC encoder to train foundations with."""
