"""Groups of commands of the command line, one file each; `hitcore.cli` puts them together."""
