"""What a person takes away of reports: a table of songs, and an HTML page that stands alone.

`tables` makes the rows, `htmlreport` the page, `svg` its pictures.
"""
