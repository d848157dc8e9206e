"""The Compare page: Table 1 with intervals, and every variant on a visitor's songs."""
