"""From a folder of photos or videos to a config: what is in it, what is chosen for it, and the text."""
