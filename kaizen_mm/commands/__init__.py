"""What the scripts in tools/ and the console commands do."""
