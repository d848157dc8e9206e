"""What every reader needs: files unpacked within limits, text cut into cells, cells into values.

`archives` and `unpacking` give the text files inside a path, `delimited` and `parquet` their rows,
`cells` the values; `reading` keeps the settings and counts of one reading, `collecting` writes the
canonical rows, and `playlog` says what comes out.
"""
