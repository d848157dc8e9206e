"""What the pages share: the look, the frame of a page, charts, and cached loaders."""
