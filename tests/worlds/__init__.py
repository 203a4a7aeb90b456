"""Small clusters drawn at random, as people have them, and laws that must hold in each (README.md here)."""
