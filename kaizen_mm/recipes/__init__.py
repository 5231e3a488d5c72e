"""Training loops to read, to use and to change; they need torch alone."""
