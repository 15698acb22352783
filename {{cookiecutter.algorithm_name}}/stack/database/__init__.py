"""Template: predictions in PostgreSQL: what was asked, what was answered, and what turned out to be true."""
