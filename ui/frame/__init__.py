"""What every page stands in: title, theme, charts, cached loaders, result sets."""
